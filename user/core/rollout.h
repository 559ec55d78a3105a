/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plan of a reload: which slots get a new worker, how many at a time, and what happens if one
 * fails. Pure: the supervisor reports the events, and carries out the answers.
 *
 * The old workers are kept, out of their slots, until every new worker has its slot. So a reload
 * can be rolled back at once and as a whole.
 */
#pragma once

#include <stdbool.h>

#include "core/slots.h"

enum rollout_phase {
	ROLLOUT_PENDING,
	ROLLOUT_STARTED,  /* a new worker is being started */
	ROLLOUT_REPLACED, /* the new worker has the slot */
	ROLLOUT_FAILED,
};

enum rollout_verdict {
	ROLLOUT_WAIT,     /* for the workers that were started */
	ROLLOUT_START,    /* start a new worker in *ret_slot */
	ROLLOUT_COMMIT,   /* every slot is done: stop the old workers */
	ROLLOUT_ROLLBACK, /* a worker has failed: give the old workers their slots back */
};

struct rollout {
	struct slots slots;
	unsigned int batch; /* how many workers are replaced at a time; at least 1 */
	bool keep_going; /* if a new worker fails, its slot keeps the old one and the reload goes on
	                  */
	unsigned char phase[RPD_SLOT_MAX]; /* enum rollout_phase, by position in slots */
};

/* Begins a plan; all slots are PENDING. */
void rollout_begin(struct rollout *rollout, const struct slots *slots, unsigned int batch,
                   bool keep_going);

/*
 * Returns what to do now. With ROLLOUT_START the slot is STARTED from then on.
 *
 * @spare: how many live workers may leave their slots now, for a reload that takes the old worker
 * out before it starts the new one; otherwise ROLLOUT_ANY. With 0, no second slot begins while one
 * is STARTED.
 */
enum rollout_verdict rollout_next(struct rollout *rollout, unsigned int spare,
                                  unsigned int *ret_slot);
#define ROLLOUT_ANY (~0u)

/* Records that a slot has got its new worker (REPLACED), or that the new worker has failed, also
 * after it had the slot. Ignores slots that are not in the plan or not started. */
void rollout_record(struct rollout *rollout, unsigned int slot, enum rollout_phase phase);

/* The number of slots in that phase. */
unsigned int rollout_count(const struct rollout *rollout, enum rollout_phase phase);
