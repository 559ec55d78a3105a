/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The BPF programs on a service's cgroup. At bind() they turn SO_REUSEPORT on, so that unmodified
 * programs can share a port (TCP and UDP), unless it is one worker's own. They keep a listener from
 * taking the connections of a less specific endpoint. After listen() they report the listener.
 *
 * They are attached to the cgroup itself, not by a link of ours: they outlive the supervisor, and
 * end with the cgroup.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

struct hook;

struct hook_listen {
	/* Id of the cgroup of the process that called bind(); 0 if no process did. (Older kernels
	 * don't say which process calls listen(). For the cgroup that made the socket see
	 * core/listener.h.) */
	uint64_t cgroup;
	uint64_t cookie; /* of the listener */
	uint16_t port;   /* host order */
	/* The socket doesn't listen: it is an MPTCP socket, which can't be steered, and its bind()
	 * to a shared port was refused with EOPNOTSUPP (EPERM before Linux 6.1). */
	bool refused;
	/* It listens, but not on @asked: this address would have taken connections from an endpoint
	 * of the service (hook_set_served()), so the socket was bound to an address without
	 * traffic. */
	bool held;
	struct rpd_endpoint
	        asked; /* v6only and uid are not known; an IPv4-mapped address is IPv4 */
};

/*
 * Attaches the programs to cgroup @fd; they act on sockets that are made in the cgroup or below.
 * They replace the programs of an earlier supervisor without a gap, and take over its unread
 * listeners.
 *
 * @ports, at most RPD_ENDPOINT_MAX: only these ports are shared, and every worker may bind them
 * without CAP_NET_BIND_SERVICE. None: every fixed port is shared, among processes that may bind it.
 */
int hook_attach(int fd, const uint16_t *ports, size_t n, struct hook **ret, struct error *err);

/* A descriptor that is readable when there are listeners to read. */
int hook_fd(const struct hook *hook);

enum {
	HOOK_READ = 0,
	HOOK_LOST = 1, /* reports were lost: search for the listeners */
};

/* Calls @on_listen for some hundred reported listeners in their order, also for refused ones; if
 * there are more, the descriptor stays readable. Listeners on a port that bind() did not name, or
 * that is not among @ports, are not reported. */
int hook_read_listens(struct hook *hook,
                      void (*on_listen)(const struct hook_listen *listen, void *data), void *data);

/*
 * Sets the endpoints of the service, at most RPD_ENDPOINT_MAX (family 0: none), in place of the
 * former ones. A later bind() to an address that would take connections from one of them, and is
 * none of them, is held (see struct hook_listen). At first there are none, or those that an earlier
 * supervisor has set. Returns 0, or a negative errno with @err set.
 */
int hook_set_served(struct hook *hook, const struct rpd_endpoint *list, size_t n,
                    struct error *err);

/* Sets the addresses (family 0: the ports; family 0 and port 0: all loopback addresses) that a
 * later bind() doesn't share, in place of the former ones. More than HOOK_ADDRESSES_MAX are
 * ignored. Returns 0, or a negative errno with @err set. */
int hook_set_private(struct hook *hook, const struct rpd_endpoint *list, size_t n,
                     struct error *err);

/* Closes our descriptors; the programs stay attached. NULL is fine. */
void hook_free(struct hook *hook);

/* Detaches the programs from cgroup @fd. */
void hook_detach(int fd);
