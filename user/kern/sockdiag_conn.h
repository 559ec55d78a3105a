/* SPDX-License-Identifier: BSD-2-Clause */
/* The open TCP connections of a network namespace, by sock_diag(7). */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/connection.h"

/*
 * Lists the connections of the calling thread's network namespace with local port @port (host
 * order) that are established and not closed, sorted by cookie; none is marked as counted. The
 * result is no snapshot: a connection that opens or closes during the call may be missing. The
 * caller frees *ret, which is NULL if there are none.
 *
 * @info: with the bytes and times. For those the kernel locks each connection: one that a process
 * keeps locked is an error. Without, only connections that a process has open are listed.
 */
int sockdiag_conn_list(uint16_t port, bool info, struct connection **ret, size_t *ret_n,
                       struct error *err);

/* Resets connections: the client gets a RST, the worker ECONNRESET. Returns 0 and how many it has
 * reset, of those that are still there, and that no process keeps locked; -EOPNOTSUPP with @err set
 * if the kernel can't reset connections. */
int sockdiag_conn_reset(const struct connection *connections, size_t n, size_t *ret_reset,
                        struct error *err);

/*
 * Decodes one message of a dump to a struct connection. nlmsg_len must be within the buffer
 * (NLMSG_OK); no other byte is trusted. Returns 0; 1 for a message with neither tcp_info nor inode:
 * a TIME_WAIT socket, which is closed for the worker; or -EBADMSG.
 */
int sockdiag_conn_decode(const struct nlmsghdr *message, void *ret);
