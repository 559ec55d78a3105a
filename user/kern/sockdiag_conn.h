/* SPDX-License-Identifier: BSD-2-Clause */
/* The open TCP connections of a network namespace, asked from the kernel by sock_diag(7). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/connection.h"

/*
 * All connections of the calling thread's network namespace with local port @port (host order),
 * that are established and not closed, in the order of their cookies. None of them is marked as
 * counted. No snapshot: one that opens or closes meanwhile may or may not be there. The caller
 * frees *ret, which is NULL if there are none.
 */
int sockdiag_conn_list(uint16_t port, struct connection **ret, size_t *ret_n, struct error *err);

/* Resets a connection: its peer gets a RST, its owner ECONNRESET. -ENOENT if it is gone. */
int sockdiag_conn_reset(const struct connection *connection);
