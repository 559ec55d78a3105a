/* SPDX-License-Identifier: BSD-2-Clause */
/* A sock_diag(7) dump of TCP sockets of any kind, for sockdiag.c and sockdiag_conn.c only. */
#pragma once

#include "kern/sockdiag_rows.h"

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
