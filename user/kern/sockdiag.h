/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening TCP sockets of a network namespace, by sock_diag(7). proc_holders.h finds the
 * processes that have them open.
 */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/listener.h"

/*
 * Lists all listening TCP sockets, IPv4 and IPv6, of the calling thread's network namespace with
 * local port @port (host order; 0 = every port), sorted by cookie, each once.
 *
 * The result is no snapshot. It contains each listener that listens during the whole call; a
 * listener that starts or stops during the call may be missing. For an MPTCP socket the TCP subflow
 * listens: the inode is that of the process's socket, but the cookie is not.
 *
 * The caller frees *ret, which is NULL if there are none.
 */
int sockdiag_list_listeners(uint16_t port, struct listener **ret, size_t *ret_n, struct error *err);

/* At most this many listeners of a cgroup are listed. */
#define SOCKDIAG_OF_CGROUP_MAX 1024

/*
 * Lists the listening TCP sockets that processes of @cgroup have made, in the same way. @fixed:
 * only the sockets that asked bind() for a port number other than 0. The kernel selects them, so
 * that other listeners of the host cost little. -E2BIG if there are more than
 * SOCKDIAG_OF_CGROUP_MAX.
 */
int sockdiag_list_listeners_of(uint64_t cgroup, bool fixed, struct listener **ret, size_t *ret_n,
                               struct error *err);

/*
 * Decodes one message of a dump. nlmsg_len must be within the buffer (NLMSG_OK); no other byte is
 * trusted. -EBADMSG if the message is too short, or not about a listening IPv4 or IPv6 socket.
 */
int sockdiag_decode_listener(const struct nlmsghdr *message, struct listener *ret);

/* Reads the cookie of socket @fd, as in listener.cookie. */
int sockdiag_socket_cookie(int fd, uint64_t *ret);

/* Reads the cookie of the network namespace of socket @fd. Needs Linux 5.14. */
int sockdiag_netns_cookie(int fd, uint64_t *ret);
