/* SPDX-License-Identifier: BSD-2-Clause */
/* `attach --watch`: keeps the slots true to who is there. */
#pragma once

#include "base/error.h"

/*
 * Admits workers that join the groups of service @name, takes out those that left or stalled, and
 * logs each change to stderr, until SIGTERM or SIGINT (returns 0; steering stays) or until the
 * service is detached (returns 0). Tells systemd when it is ready.
 *
 * Event-driven: a listen() is heard of by BPF, a worker's death by its pidfd. A listener that is
 * closed while its process lives, and a stalled one that is polled again, give no event that would
 * not come with every connection on the host as well; for these it looks once a second. Until then
 * nothing is lost: an empty slot is passed over by the steering program itself.
 */
int watch(const char *name, struct error *err);

/* Whether watch() could work here: before anything is changed for its sake. */
int watch_check(struct error *err);
