/* SPDX-License-Identifier: BSD-2-Clause */
/* Health probes of workers that are up. */
#pragma once

#include "supervise/types.h"

/* Checks the worker's health from now on, if its configuration asks for that. */
void health_watch(struct worker *w);

/* After a reload: replaces the workers that became unhealthy during the reload. */
void health_replace_unhealthy(struct supervisor *sup);
