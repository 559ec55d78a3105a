/* SPDX-License-Identifier: BSD-2-Clause */
/* Listening sockets of our own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/probe_socket.h"
#include <reuseportd/abi.h>

/*
 * Opens one more listener of the endpoint's group: with SO_REUSEPORT, and of the endpoint's user,
 * whoever we are. It gets connections at once, unless a steering program decides that it doesn't.
 * -EADDRINUSE: somebody has the port who doesn't share it with this user.
 */
int own_listener_open(const struct rpd_endpoint *endpoint, struct error *err);

/* Connections in its accept queue. */
unsigned int own_listener_queue_length(int fd);

/* Whether this kernel is known, or may be suspected, not to wake those who wait for a listener when
 * connections migrate to it (core/kernel_bugs.h). */
bool own_listener_may_miss_wakeup(void);
