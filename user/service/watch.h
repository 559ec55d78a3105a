/* SPDX-License-Identifier: BSD-2-Clause */
/* `attach --watch`: admits new workers, and takes dead and stalled ones out. */
#pragma once

#include <systemd/sd-event.h>

#include "base/error.h"

typedef void (*watch_on_start)(sd_event *loop, void *data);

/*
 * Admits workers that join the groups of service @name, takes out workers that have left or
 * stalled, and logs each change to stderr. Notifies systemd when it is ready. Returns 0 on SIGTERM
 * or SIGINT, after which steering goes on, or when the service is detached; or a negative errno
 * with @err set.
 *
 * Works by events: BPF reports each listen(), and a pidfd the death of a worker. For two changes
 * there is no cheap event (one would come with every connection on the host): a listener is closed
 * while its process lives, and a stalled listener is polled again. So it also updates once a
 * second. Until then no connection is lost, as the steering program passes over an empty slot.
 *
 * @on_start is called once, before the loop begins.
 */
int watch(const char *name, watch_on_start on_start, void *data, struct error *err);

/* Whether watch() could work on this host. `attach` checks that before it changes anything. Returns
 * 0, or a negative errno with @err set. */
int watch_check(struct error *err);
