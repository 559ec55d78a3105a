/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine of reloads and deployments: a plan of steps, which say how many slots have a new
 * worker and which share of the connections the new workers get. Events go in, and what to do next
 * comes out. Pure: the supervisor reports the events, and carries out the answers.
 *
 * The old workers are kept, out of their slots, until the last step is in force. So all of it can
 * be rolled back at once, whatever the step.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slots.h"

/* Of one slot. */
enum rollout_phase {
	ROLLOUT_PENDING,
	ROLLOUT_STARTED,  /* a new worker is being started */
	ROLLOUT_READY,    /* it is ready, and waits for the others of its step */
	ROLLOUT_REPLACED, /* the new worker has the slot */
	ROLLOUT_FAILED,
};

enum rollout_verdict {
	ROLLOUT_WAIT,   /* for events, or until rollout_next_time() */
	ROLLOUT_START,  /* start a new worker in *ret_slot */
	ROLLOUT_FLIP,   /* put the step in force: READY workers get their slots, and their share */
	ROLLOUT_COMMIT, /* every step is done: the new version stays */
	ROLLOUT_ROLLBACK, /* give the old workers their slots back */
};

struct rollout_step {
	unsigned int n_slots;  /* that have a new worker when the step is in force */
	unsigned int permille; /* the exact share of the new workers; 0 = that of their weights */
	int64_t time;          /* how long the step lasts at least, ns */
	bool pauses;           /* it lasts until a person promotes it */
	bool judged;           /* it lasts until the new workers are found good */
	bool at_once;          /* its workers get their slots together, when all are ready */
};

#define ROLLOUT_STEPS_MAX 33

/* What is known of the new workers in a judged step. */
enum rollout_judgement {
	ROLLOUT_UNKNOWN,    /* not enough yet */
	ROLLOUT_NO_TRAFFIC, /* nothing to judge by */
	ROLLOUT_GOOD,
	ROLLOUT_BAD,
};

/* Why a rollout doesn't go on by itself. */
enum rollout_halt {
	ROLLOUT_GOES_ON,
	ROLLOUT_HALT_ASKED,        /* rollout_pause() */
	ROLLOUT_HALT_STEP,         /* the step pauses */
	ROLLOUT_HALT_INCONCLUSIVE, /* the deadline is over, and the judgement is UNKNOWN ... */
	ROLLOUT_HALT_NO_TRAFFIC,   /* ... or NO_TRAFFIC */
	ROLLOUT_HALT_NO_OLD,       /* it is to be rolled back, and no old worker lives */
	ROLLOUT_HALT_GATE,         /* the gate has not opened, and the deadline is over */
};

struct rollout {
	struct slots slots; /* in the order of the replacement */
	unsigned int batch; /* how many workers start at a time; at least 1 */
	bool keep_going;    /* if a new worker fails, its slot keeps the old one */
	bool keeps_old;     /* never rolls back unless an old worker lives */
	bool gated;         /* there are gates: see rollout_open_gate() */
	/* How long a judged step may last beyond its time, and a gate may be shut; how long a halt
	 * may last. ns; 0 = for ever */
	int64_t deadline, pause_timeout;
	size_t n_steps;
	struct rollout_step steps[ROLLOUT_STEPS_MAX];

	unsigned char phase[RPD_SLOT_MAX]; /* enum rollout_phase, by position in slots */
	size_t step;
	size_t n_in_force; /* the step that has its share, from 1; 0 = none yet */
	bool in_force;     /* it is this step; since: */
	int64_t since;
	enum rollout_judgement judgement;
	enum rollout_halt halt;
	int64_t halted_at;
	bool passed;   /* a person has promoted the step */
	bool full;     /* ... and all further ones */
	size_t n_open; /* gates that are open */
	bool at_gate;  /* it waits at the next one; since: */
	int64_t gate_at;
	bool aborted;
};

/* What rollout_next() has to know of the world. */
struct rollout_world {
	int64_t now; /* ns */
	/* How many live workers may leave their slots now, for a reload that takes the old worker
	 * out before it starts the new one; otherwise ROLLOUT_ANY. With 0, no second slot begins
	 * while one is STARTED. */
	unsigned int spare;
	bool old_lives; /* a worker of the old version */
};
#define ROLLOUT_ANY (~0u)

/* Begins a plan of one step, which replaces the workers of all slots batch by batch. All slots are
 * PENDING. */
void rollout_begin(struct rollout *rollout, const struct slots *slots, unsigned int batch,
                   bool keep_going);

/* Replaces the step of rollout_begin() by @steps. The last one has all slots. */
void rollout_set_steps(struct rollout *rollout, const struct rollout_step *steps, size_t n);

/*
 * Returns what to do now. With ROLLOUT_START the slot is STARTED from then on. With ROLLOUT_FLIP,
 * the caller reports rollout_note_flip(), or a failure. With ROLLOUT_COMMIT and ROLLOUT_ROLLBACK,
 * the rollout has ended.
 */
enum rollout_verdict rollout_next(struct rollout *rollout, const struct rollout_world *world,
                                  unsigned int *ret_slot);

/* When rollout_next() is to be called at the latest (CLOCK_MONOTONIC, ns), or 0: events alone
 * matter. */
int64_t rollout_next_time(const struct rollout *rollout);

/* Records that a slot's new worker is READY, has its slot (REPLACED), or has FAILED, also after it
 * had the slot. Ignores slots that are not in the plan or not started. */
void rollout_record(struct rollout *rollout, unsigned int slot, enum rollout_phase phase);

/* The step of ROLLOUT_FLIP is in force from @now on: its READY workers have their slots. */
void rollout_note_flip(struct rollout *rollout, int64_t now);

/* The judgement of the step in force. BAD ends the rollout. */
void rollout_judge(struct rollout *rollout, enum rollout_judgement judgement);

/*
 * The gate that the rollout waits at (at_gate) is open. There is one before the first worker
 * starts, and one before each step comes into force; of a step that is not at once, before it is
 * committed to. A step that another one precedes is waited for while that one is still in force,
 * and judged.
 */
void rollout_open_gate(struct rollout *rollout);

/* A person ends a halt, opens the gate that the rollout waits at, and lets the step in force pass;
 * @full: and all further ones, without judging. */
void rollout_promote(struct rollout *rollout, bool full);
/* A person holds the share where it is. */
void rollout_pause(struct rollout *rollout, int64_t now);
/* To be rolled back. */
void rollout_abort(struct rollout *rollout);

/* The number of slots in that phase. */
unsigned int rollout_count(const struct rollout *rollout, enum rollout_phase phase);
