/* SPDX-License-Identifier: BSD-2-Clause */
/* A sock_diag(7) dump of TCP sockets of any kind, for sockdiag.c and sockdiag_conn.c only; and
 * whether requests wait for it. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
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
 * none. Returns 0 or a negative errno with @err set. The result is no snapshot: see
 * sockdiag_list_listeners().
 *
 * For some facts the kernel locks each connection (tcp_get_info()), and a process can keep its
 * connection locked as long as it likes. A child makes such a dump. Before Linux 6.9 all dumps of
 * the host wait for one that does not go on, which any user can make: there it makes all of them.
 */
int sockdiag_dump_sockets(const struct sockdiag_kind *kind, const struct sockdiag_filter *filter,
                          void *ret, size_t *ret_n, struct error *err);

/* Whether each request to sock_diag, also one that is no dump, waits for the dumps of the host. */
bool sockdiag_dump_is_serial(void);
