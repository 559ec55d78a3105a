/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening TCP sockets of a network namespace, asked from the kernel by sock_diag(7). Who has
 * them open is proc's affair.
 */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/listener.h"

/*
 * All listening TCP sockets, IPv4 and IPv6, of the calling thread's network namespace with local
 * port @port (host order; 0 = every port), in the order of their cookies, each once.
 *
 * No snapshot: a listener that listens during the whole call is in the result, one that starts or
 * stops meanwhile may or may not be. Of an MPTCP socket it is the TCP subflow that listens: the
 * inode is that of the process's socket, the cookie is not.
 *
 * The caller frees *ret, which is NULL if there are none.
 */
int sockdiag_list_listeners(uint16_t port, struct listener **ret, size_t *ret_n, struct error *err);

/*
 * Decodes one message of a dump. It trusts nlmsg_len to be within the buffer (NLMSG_OK), and no
 * other byte. -EBADMSG if it is not about a listening IPv4 or IPv6 socket, or is too short.
 */
int sockdiag_decode_listener(const struct nlmsghdr *message, struct listener *ret);

/* The cookie of socket @fd, which is listener.cookie of the same socket. */
int sockdiag_socket_cookie(int fd, uint64_t *ret);

/* The cookie of the network namespace that socket @fd is in. Linux 5.14. */
int sockdiag_netns_cookie(int fd, uint64_t *ret);
