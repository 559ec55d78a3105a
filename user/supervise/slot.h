/* SPDX-License-Identifier: BSD-2-Clause */
/* Decides which worker a slot has: the first start, starts after a crash, replacements, stops.
 * Functions that return int return 0, or a negative errno with @err set. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "supervise/types.h"

/* Starts a worker for the slot, unless one is starting. On failure starts one later or gives the
 * slot up, as the slot's restart policy demands. For a slot that a reload has, use
 * slot_try_start(). */
void slot_start(struct supervisor *sup, unsigned int slot);
/* The same, but a failure is logged and returned. */
int slot_try_start(struct supervisor *sup, unsigned int slot, struct error *err);

/* Starts workers in slots that wait for one, as many as may start at the same time. */
void slot_start_waiting(struct supervisor *sup);
/* Starts a worker in each slot that stayed empty after its worker had ended by itself (no-restart,
 * stop-exit-codes). */
void slot_start_ended(struct supervisor *sup);
/* Resets a slot that has no worker, so that slot_start_waiting() starts one without a pause. */
void slot_ask_start(struct supervisor *sup, unsigned int slot);
/* Starts the slot's next worker after a pause, or gives the slot up (core/restart_backoff.h).
 * @uptime: how long the last worker was up, in ns. */
void slot_start_later(struct supervisor *sup, unsigned int slot, int64_t uptime);

/* @w has been admitted: it becomes the slot's current worker, and the former one is held or
 * retired. */
void slot_take(struct worker *w);

enum slot_loss {
	SLOT_LOSS_DONE,     /* nothing is left to do */
	SLOT_LOSS_RELOAD,   /* the slot's reload has to decide: reload_note_failed() */
	SLOT_LOSS_FINISHED, /* the new worker of a reload is a job that is done */
};

/* The worker has failed, or has died in its slot: starts another one later, or leaves the slot, as
 * its restart policy demands. */
enum slot_loss slot_lose(struct worker *w);

/* Takes the worker, if there is one, out of its slot, which stays empty. @event: WORKER_EVENT_HOLD,
 * or WORKER_EVENT_RETIRE. */
int slot_vacate(struct supervisor *sup, unsigned int slot, enum worker_event event,
                struct error *err);

/* Takes the worker out of its slot, lets it end when its connections have ended, and starts another
 * one as after a crash. */
int slot_retire(struct worker *w, struct error *err);

/* Starts a worker that replaces the slot's current one, without a reload; after a pause, if the
 * current one was itself replaced soon after its start. */
void slot_restart_worker(struct supervisor *sup, unsigned int slot, const char *why);

/* Stops the slot's worker, and starts no other. */
int slot_stop(struct supervisor *sup, unsigned int slot, struct error *err);

/* Changes the number of slots to @n: starts more, or stops those above. */
int slot_scale(struct supervisor *sup, unsigned int n, struct error *err);

/* Leaves the slot without a worker, in state @run. @ended: see struct slot. */
void slot_leave(struct supervisor *sup, unsigned int slot, enum rpd_run run, bool ended);
