/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plan of a reload: which slots get a new worker, how many at a time, and what becomes of it
 * all if one of them fails. Pure; the supervisor tells what happened, and does what it answers.
 *
 * The old workers are kept, out of their slots, until every new one is in: so what was replaced can
 * be taken back at once and whole.
 */
#pragma once

#include <stdbool.h>

#include "core/slots.h"

enum rollout_phase {
	ROLLOUT_PENDING,
	ROLLOUT_STARTED,  /* a new worker has been asked for */
	ROLLOUT_REPLACED, /* the new worker has the slot */
	ROLLOUT_FAILED,
};

enum rollout_verdict {
	ROLLOUT_WAIT,     /* for what was started */
	ROLLOUT_START,    /* a new worker in *ret_slot */
	ROLLOUT_COMMIT,   /* every slot has been done: the old ones may go */
	ROLLOUT_ROLLBACK, /* one has failed: the old ones get their slots back */
};

struct rollout {
	struct slots slots;
	unsigned int batch; /* new workers that are under way at a time; at least 1 */
	bool keep_going;    /* one that fails keeps its old worker, and the others go on */
	unsigned char phase[RPD_SLOT_MAX]; /* enum rollout_phase, by position in slots */
};

/* Begins a plan; phases are all pending. */
void rollout_begin(struct rollout *rollout, const struct slots *slots, unsigned int batch,
                   bool keep_going);

/*
 * What is to be done now. A START counts as done by the call.
 *
 * @spare: how many live workers may be taken out of their slots now, of a plan that takes the old
 * one out before there is a new one; ROLLOUT_ANY of others. With none to spare it goes on one by
 * one.
 */
enum rollout_verdict rollout_next(struct rollout *rollout, unsigned int spare,
                                  unsigned int *ret_slot);
#define ROLLOUT_ANY (~0u)

/* A slot has its new worker, or won't get it. Of slots that are not in the plan, or were not
 * started, nothing is noted. A new worker that dies after it was in is ROLLOUT_FAILED too. */
void rollout_record(struct rollout *rollout, unsigned int slot, enum rollout_phase phase);

/* How many slots are in that phase. */
unsigned int rollout_count(const struct rollout *rollout, enum rollout_phase phase);
