/* SPDX-License-Identifier: BSD-2-Clause */
/* Listening sockets of our own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

/*
 * Opens one more listener of the endpoint's group: with SO_REUSEPORT, and of the endpoint's user,
 * whoever we are. It gets connections at once, unless a steering program decides that it doesn't.
 * -EADDRINUSE: somebody has the port who doesn't share it with this user.
 */
int listener_open(const struct rpd_endpoint *endpoint, struct error *err);

/* Connections in its accept queue. */
unsigned int listener_queued(int fd);

/* Whether this kernel is known, or may be suspected, not to wake those who wait for a listener when
 * connections migrate to it (core/kernel_bugs.h). */
bool listener_sleeps_on(void);

/* A client's socket that will connect to the endpoint from this host, bound; where to it connects,
 * and from where, as the steering program will see it. -EOPNOTSUPP if the endpoint is bound to a
 * device, which is not reached from here. */
int listener_caller(const struct rpd_endpoint *endpoint, struct rpd_probe *ret_source);

/* Connects it to the endpoint, or begins to: -EINPROGRESS. */
int listener_connect(const struct rpd_endpoint *endpoint, int fd);

/* Connects it, waits until that is done, and closes it. */
void listener_knock(const struct rpd_endpoint *endpoint, int fd);
