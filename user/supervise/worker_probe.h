/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes of one worker (health_probe.h), for readiness.c and health.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervise/types.h"

/* Whether the configuration's `ready` is a probe: http, tcp or exec. */
bool worker_probe_is_configured(const struct run_config *config);

/* Starts a probe now, or after @ns nanoseconds. @done gets the result; it may call
 * worker_probe_end() or free the worker. At most one probe runs. */
void worker_probe_start(struct worker *w, void (*done)(struct worker *w, bool ok, const char *why));
void worker_probe_start_after(struct worker *w, int64_t ns,
                              void (*done)(struct worker *w, bool ok, const char *why));

/* Cancels the probe and the timer of the next one. */
void worker_probe_end(struct worker *w);
