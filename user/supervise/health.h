/* SPDX-License-Identifier: BSD-2-Clause */
/* Health probes of workers that are up, and the replacement of unhealthy workers. */
#pragma once

#include "supervise/types.h"

/* Probes the worker every health_interval from now on, if its configuration has one. */
void health_watch(struct worker *w);

/* A worker that is up is unhealthy, because of @why: records that for `status`, and as an event
 * with the text @what, then replaces the worker, or after a reload of its slot. */
void health_note_unhealthy(struct worker *w, const char *what, const char *why);

/* After a reload: replaces the workers that became unhealthy during the reload. */
void health_replace_unhealthy(struct supervisor *sup);
