/* SPDX-License-Identifier: BSD-2-Clause */
/* Health probes of workers that are up. */
#pragma once

#include "supervise/types.h"

/* Probes the worker every health_interval from now on, if its configuration has one. */
void health_watch(struct worker *w);

/* After a reload: replaces the workers that became unhealthy during the reload. */
void health_replace_unhealthy(struct supervisor *sup);
