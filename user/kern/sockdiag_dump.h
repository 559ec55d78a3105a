/* SPDX-License-Identifier: BSD-2-Clause */
/* One sock_diag(7) dump of TCP sockets, whatever is wanted of them: for sockdiag and sockdiag_conn.
 */
#pragma once

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

/* What to ask for, and what to make of it. */
struct sockdiag_kind {
	uint32_t states;    /* 1 << TCP_LISTEN and so on */
	uint8_t extensions; /* 1 << (INET_DIAG_INFO - 1) and so on */
	size_t row_size;
	size_t cookie_at; /* offset of the socket's cookie, uint64_t, in a row */
	/* Fills in a row. 1: not one of those wanted. -EBADMSG: no message of this kind. */
	int (*decode)(const struct nlmsghdr *message, void *ret_row);
};

/*
 * Sockets of both families in the calling thread's network namespace with local port @port (host
 * order; 0 = every port), in the order of their cookies, each once. *ret (a pointer to rows) is the
 * caller's to free, NULL if there are none. No snapshot: see sockdiag_list_listeners().
 */
int sockdiag_dump_sockets(const struct sockdiag_kind *kind, uint16_t port, void *ret,
                          size_t *ret_n);
