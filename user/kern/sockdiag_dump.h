/* SPDX-License-Identifier: BSD-2-Clause */
/* A sock_diag(7) dump of TCP sockets of any kind, for sockdiag.c and sockdiag_conn.c only. */
#pragma once

#include "kern/sockdiag_rows.h"

/*
 * Lists the sockets of both families in the calling thread's network namespace with local port
 * @port (host order; 0 = every port), sorted by cookie, each once. The caller frees *ret, a pointer
 * to rows, which is NULL if there are none. The result is no snapshot: see
 * sockdiag_list_listeners().
 */
int sockdiag_dump_sockets(const struct sockdiag_kind *kind, uint16_t port, void *ret,
                          size_t *ret_n);
