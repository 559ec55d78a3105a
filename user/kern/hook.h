/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The BPF programs on a service's cgroup: at bind() they turn SO_REUSEPORT on, so that unmodified
 * programs can share a port; after listen() they tell who listens.
 *
 * They are attached to the cgroup itself and not by a link that we hold: with us dead they go on,
 * and with the cgroup they go.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

struct hook;

struct hook_listen {
	/* Id of the cgroup of the process that called bind(); 0 if none did. An older kernel can't
	 * be asked for who calls listen(). Who made the socket, sock_diag tells (listener.h). */
	uint64_t cgroup;
	uint64_t cookie; /* of the listener */
	uint16_t port;   /* host order */
	bool fixed;      /* it was bound to that port, not to any that was free */
	/* It listens not: its bind() to a port that is shared was refused with EOPNOTSUPP (EPERM
	 * before Linux 6.1), as it is an MPTCP socket, and these can't be steered. */
	bool refused;
};

/*
 * Attaches to cgroup @fd, in place of what an earlier supervisor attached: there is no moment
 * without, and listeners that were heard of but not taken are not lost. Sockets count that are made
 * in the cgroup, or below. @ports, at most RPD_ENDPOINT_MAX: only these are shared, and may be
 * bound without CAP_NET_BIND_SERVICE; none = every fixed port is shared, by who has the right to
 * it.
 */
int hook_attach(int fd, const uint16_t *ports, size_t n, struct hook **ret, struct error *err);

/* Readable when listeners were heard of. */
int hook_fd(const struct hook *hook);

/* Takes all of them, in their order; also those whose port isn't shared, and such as were refused.
 * Returns 1 if some were lost (look for yourself then), else 0. */
int hook_read_listens(struct hook *hook,
                      void (*on_listen)(const struct hook_listen *listen, void *data), void *data);

/* Closes our side; the programs stay. */
void hook_free(struct hook *hook);

/* Takes the programs off. */
void hook_detach(int fd);
