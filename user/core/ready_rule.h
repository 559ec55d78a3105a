/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a worker must listen before it is ready, and whether it must listen at all. Pure. */
#pragma once

#include <stdbool.h>

#include "core/run_config.h"

/* Who listens on an endpoint of the service beside the worker in question. */
struct ready_seen {
	bool predecessor;       /* who has its slot now */
	unsigned int others;    /* workers in other slots */
	unsigned int listening; /* those of them that listen there */
};

/*
 * Whether the worker must listen there, too. What its predecessor served must be served on. With
 * nobody in its slot, and --ready listen, where most others are, but at least two: a port that one
 * worker has for itself (its metrics, PORT counted up) is no business of the others. Of all other
 * kinds of --ready the worker itself says, or shows, when it is complete.
 *
 * false if ports are named: then it is those.
 */
bool ready_rule_must_listen(const struct run_config *config, const struct ready_seen *seen);

/* Whether a program that listens on nothing, such as one that works off a queue, can be ready. */
bool ready_rule_allows_no_listener(const struct run_config *config);
