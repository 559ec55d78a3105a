/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One worker's process tree, from its start to its end: events, and the actions that
 * core/worker_state.h gives for them. worker_start.h makes workers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/worker_state.h"
#include "supervise/types.h"

/* Handles an event: performs the actions of core/worker_state.h. May free the worker. */
void worker_event(struct worker *w, enum worker_event event);

/* WORKER_EVENT_FAILED, with the reason. May free the worker. */
void worker_fail(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Starts the timer of the worker's state, in place of the former one: it ends in @ns nanoseconds.
 */
void worker_arm(struct worker *w, int64_t ns);

/* How long a worker that is ready is waited for, because it doesn't listen on an address that its
 * program may have dropped, or open later. */
#define WORKER_LATE_NS (3 * NS_PER_S)

/* The worker is late (WORKER_LATE_NS). Afterwards it is asked once more whether it is ready. */
void worker_arm_late(struct worker *w);

/* Watches for the end of the worker's main process, and of all its processes. Returns 0, or a
 * negative errno with @err set. */
int worker_watch_end(struct worker *w, struct error *err);

/* Closes and frees the worker, which is in no list; its processes are left alone. */
void worker_free(struct worker *w);

/* Takes the worker out of the list and frees it; its processes are left alone. */
void worker_forget(struct worker *w);

/* The worker with the cgroup of this id, or NULL. */
struct worker *worker_of_cgroup(struct supervisor *sup, uint64_t cgroup);

/* The worker with this number, or NULL: it has been freed. */
struct worker *worker_of_number(const struct supervisor *sup, unsigned int number);
