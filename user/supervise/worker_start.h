/* SPDX-License-Identifier: BSD-2-Clause */
/* Starts a worker, or takes over one that an earlier supervisor started. */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

/* Starts a worker of @plan for @slot, and adds it to sup->workers. Returns 0, or a negative errno
 * with @err set; on failure nothing of the worker is left. */
int worker_start(struct supervisor *sup, unsigned int slot, struct plan *plan, struct worker **ret,
                 struct error *err);

/* Outcomes of worker_start_take_over(). */
enum worker_start_outcome {
	WORKER_START_TAKEN_OVER = 1,
	WORKER_START_EMPTY, /* the cgroup had no process, and was removed */
};

/* Takes over the worker with the processes in cgroup @name, and adds it to the list, in state
 * WORKER_HELD. Returns an outcome, or a negative errno. */
int worker_start_take_over(struct supervisor *sup, const char *name, struct worker **ret,
                           struct error *err);
