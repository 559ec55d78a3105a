/* SPDX-License-Identifier: BSD-2-Clause */
/* When a worker that starts is ready. health.h probes it afterwards. */
#pragma once

#include "supervise/types.h"

/* Checks whether the worker is ready; to be called when that may have changed. Does nothing if it
 * isn't starting or settling. May free the worker. */
void readiness_check(struct worker *w);

/* Whether the worker, which has settled, is ready still: programs open a listener to see whether a
 * port is free, and close it. If it is not, starts or ends it as its state demands; it may be
 * freed.
 */
bool readiness_confirm(struct worker *w);

/* To be called once a second. A new worker that is to replace another one, and has listened for
 * some seconds, but not where `listen` demands, has failed. May free the worker. */
void readiness_check_astray(struct worker *w);
