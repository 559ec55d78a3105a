/* SPDX-License-Identifier: BSD-2-Clause */
/* Health probes of workers that are up. */
#pragma once

#include "supervise/types.h"

/* Probes the worker every health_interval from now on, if its configuration has one. */
void health_watch(struct worker *w);

/* Replaces a worker that is unhealthy, because of @why. If another worker is healthy, the worker
 * leaves its slot at once. Does nothing during a reload of its slot. */
void health_replace_worker(struct worker *w, const char *why);

/* After a reload: replaces the workers that became unhealthy during the reload. */
void health_replace_unhealthy(struct supervisor *sup);
