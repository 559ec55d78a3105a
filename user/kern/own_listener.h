/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners of our own: the parking listener, and listeners that workers inherit. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

/*
 * Opens one more listener of the endpoint's group: with SO_REUSEPORT, and owned by the endpoint's
 * user. Unless a steering program prevents it, the listener gets connections at once. Returns the
 * socket. -EADDRINUSE: another process has the port and doesn't share it with this user. @cgroup:
 * the cgroup that the socket belongs to; -1: ours. The BPF programs of the cgroup act on the
 * socket.
 */
int own_listener_open(const struct rpd_endpoint *endpoint, int cgroup, struct error *err);

/* The number of connections in the accept queue of listener @fd. */
unsigned int own_listener_queue_length(int fd);

/* Whether this kernel has, or may have, the bug that a process which waits for a listener isn't
 * woken when connections migrate to it (core/kernel_bugs.h). */
bool own_listener_may_miss_wakeup(void);
