/* SPDX-License-Identifier: BSD-2-Clause */
/* On which endpoints a worker must listen before it is ready, and whether it must listen at all.
 * Pure. */
#pragma once

#include <stdbool.h>

#include "core/run_config.h"

/* The other workers that listen on an endpoint of the service. */
struct ready_seen {
	bool predecessor;       /* the worker that has the slot now listens there */
	unsigned int others;    /* workers in other slots */
	unsigned int listening; /* workers in other slots that listen there */
};

/*
 * Whether the worker must listen on the endpoint, too. It must if its predecessor does. Without a
 * predecessor, and with --ready listen, it must if most other workers do, at least two: a port of a
 * single worker (for metrics, or by `increment_var`) doesn't concern the others. With any other
 * kind of --ready the worker itself shows when it is complete.
 *
 * False if the configuration names ports: the worker must then listen on these.
 */
bool ready_rule_must_listen(const struct run_config *config, const struct ready_seen *seen);

/* Whether a worker that does not send the message "ready" is ready after alive_after, as PM2 has
 * it. Not if the worker that it replaces has sent the message (@predecessor_sent): then the new one
 * hangs, or is broken. */
bool ready_rule_allows_no_message(const struct run_config *config, bool predecessor_sent);

/* Whether a worker that listens on nothing, such as one that processes a queue, can be ready. */
bool ready_rule_allows_no_listener(const struct run_config *config);
