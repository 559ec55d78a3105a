/* SPDX-License-Identifier: BSD-2-Clause */
/* Hearing of it when a process begins to listen on a port. */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct listen_events;

/*
 * Listens for listen() on @port by any process below the cgroup2 mount (which is all processes of
 * the host, or of the container). The program goes with listen_events_free(), or with us.
 */
int listen_events_new(uint16_t port, struct listen_events **ret, struct error *err);

/* Readable when there are events. */
int listen_events_fd(const struct listen_events *events);

/* Takes all events that are there. */
void listen_events_drain(struct listen_events *events);

void listen_events_free(struct listen_events *events);
