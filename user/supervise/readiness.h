/* SPDX-License-Identifier: BSD-2-Clause */
/* When a worker that starts is ready. health.h probes it afterwards. */
#pragma once

#include "supervise/types.h"

/* Checks whether the worker is ready; to be called when that may have changed. Does nothing in
 * other states than WORKER_STARTING. May free the worker. */
void readiness_check(struct worker *w);
