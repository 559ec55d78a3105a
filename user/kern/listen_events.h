/* SPDX-License-Identifier: BSD-2-Clause */
/* Notification when a process begins to listen on a port. */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct listen_events;

/*
 * Watches for listen() on @port by any process below the cgroup2 mount: all processes of the host,
 * or of the container. The watch ends with listen_events_free(), or with our process.
 */
int listen_events_new(uint16_t port, struct listen_events **ret, struct error *err);

/* A descriptor that is readable when there are events. */
int listen_events_fd(const struct listen_events *events);

/* Discards all events. */
void listen_events_drain(struct listen_events *events);

void listen_events_free(struct listen_events *events);
