/* SPDX-License-Identifier: BSD-2-Clause */
/* A sock_diag(7) dump of TCP sockets of any kind, for sockdiag.c and sockdiag_conn.c only. */
#pragma once

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What to request, and how to decode it. */
struct sockdiag_kind {
	uint32_t states;    /* 1 << TCP_LISTEN and so on */
	uint8_t extensions; /* 1 << (INET_DIAG_INFO - 1) and so on */
	size_t row_size;
	size_t cookie_at; /* offset of the socket's cookie, uint64_t, in a row */
	/* Decodes a message to a row. Returns 0; 1 to skip the socket; or -EBADMSG. */
	int (*decode)(const struct nlmsghdr *message, void *ret_row);
};

/* Which sockets the kernel returns: those that match each member that is not 0. */
struct sockdiag_filter {
	uint16_t port;   /* local port, host order */
	uint64_t cgroup; /* id of the cgroup of the process that made the socket */
	bool fixed;      /* bind() was called with the port number, not with 0 */
	size_t max;      /* more rows are -E2BIG; 0 = no limit */
};

/*
 * Lists the sockets of both families in the calling thread's network namespace that match @filter,
 * sorted by cookie, each once. The caller frees *ret, a pointer to rows, which is NULL if there are
 * none. The result is no snapshot: see sockdiag_list_listeners().
 */
int sockdiag_dump_sockets(const struct sockdiag_kind *kind, const struct sockdiag_filter *filter,
                          void *ret, size_t *ret_n);
