/* SPDX-License-Identifier: BSD-2-Clause */
/* Which worker a slot has: the first start, starts after a crash, replacements, stops. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "supervise/types.h"

/* Starts a worker for the slot, unless one is starting. On failure does what the slot's restart
 * policy says. Not for a slot that a reload has: slot_try_start(). */
void slot_start(struct supervisor *sup, unsigned int slot);
/* The same, but a failure is logged and returned. */
int slot_try_start(struct supervisor *sup, unsigned int slot, struct error *err);

/* Starts workers in slots that wait for one, as many as may start at the same time. */
void slot_start_waiting(struct supervisor *sup);
/* Starts workers in slots that a worker without `restart` has left by its end. */
void slot_start_ended(struct supervisor *sup);
/* Sets a slot that has no worker to be started by slot_start_waiting() at once. */
void slot_ask_start(struct supervisor *sup, unsigned int slot);
/* Restarts after a pause a slot that has lost its worker after @uptime (ns), or gives it up. */
void slot_start_later(struct supervisor *sup, unsigned int slot, int64_t uptime);

/* The worker has been admitted to its slot: the worker before leaves it. */
void slot_take(struct worker *w);

enum slot_loss {
	SLOT_LOSS_DONE,   /* nothing is left to do */
	SLOT_LOSS_RELOAD, /* the slot's reload has to decide: reload_note_failed() */
};

/* The worker has failed, or has died in its slot: does what the slot's restart policy says. */
enum slot_loss slot_lose(struct worker *w);

/* Takes the worker out of its slot, lets it end when its connections have ended, and starts another
 * one as after a crash. */
int slot_retire(struct worker *w, struct error *err);

/* Starts a worker that replaces the slot's current one, without a reload; after a pause, if the
 * current one was itself replaced soon after its start. */
void slot_restart_worker(struct supervisor *sup, unsigned int slot, const char *why);

/* The slot's worker ends, and no other is started. */
int slot_stop(struct supervisor *sup, unsigned int slot, struct error *err);

/* Changes the number of slots to @n: starts more, or stops those above. */
int slot_scale(struct supervisor *sup, unsigned int n, struct error *err);

/* Leaves the slot without a worker, in state @run. @ended: see struct slot. */
void slot_leave(struct supervisor *sup, unsigned int slot, enum rpd_run run, bool ended);
