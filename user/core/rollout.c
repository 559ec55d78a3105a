/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rollout.h"

#include <string.h>

void rollout_begin(struct rollout *rollout, const struct slots *slots, unsigned int batch,
                   bool keep_going)
{
	const struct rollout_step all = {.n_slots = (unsigned int)slots->n};

	memset(rollout, 0, sizeof(*rollout));
	rollout->slots = *slots;
	rollout->batch = batch ? batch : 1;
	rollout->keep_going = keep_going;
	rollout_set_steps(rollout, &all, 1);
}

void rollout_set_steps(struct rollout *rollout, const struct rollout_step *steps, size_t n)
{
	rollout->n_steps = n;
	memcpy(rollout->steps, steps, n * sizeof(*steps));
}

unsigned int rollout_count(const struct rollout *rollout, enum rollout_phase phase)
{
	unsigned int n = 0;

	for (size_t i = 0; i < rollout->slots.n; i++)
		n += rollout->phase[i] == phase;
	return n;
}

static void rollout_halt(struct rollout *rollout, enum rollout_halt why, int64_t now)
{
	if (rollout->halt == why)
		return;
	rollout->halt = why;
	rollout->halted_at = now;
}

/* Whether gate @gate is open: 0 = before the start, N = before the N-th step. */
static bool rollout_is_open(struct rollout *rollout, size_t gate, int64_t now)
{
	const bool is_open = !rollout->gated || rollout->full || gate < rollout->n_open;

	if (!is_open && !rollout->at_gate)
		rollout->gate_at = now;
	rollout->at_gate = !is_open;
	if (!is_open && rollout->halt == ROLLOUT_GOES_ON && rollout->deadline &&
	    now >= rollout->gate_at + rollout->deadline)
		rollout_halt(rollout, ROLLOUT_HALT_GATE, now);
	return is_open;
}

/* The first slot of the step that is to get a new worker, or -1. */
static int rollout_find_pending(const struct rollout *rollout)
{
	for (size_t i = 0; i < rollout->steps[rollout->step].n_slots; i++)
		if (rollout->phase[i] == ROLLOUT_PENDING)
			return (int)i;
	return -1;
}

/* On the way to the end without judging, the next step is the last one. */
static void rollout_begin_step(struct rollout *rollout, size_t step)
{
	rollout->step = rollout->full ? rollout->n_steps - 1 : step;
	rollout->in_force = rollout->passed = false;
	rollout->judgement = ROLLOUT_UNKNOWN;
}

/* Of a step that is not in force yet. */
static enum rollout_verdict rollout_next_worker(struct rollout *rollout,
                                                const struct rollout_world *world,
                                                unsigned int *ret_slot)
{
	const bool at_once = rollout->steps[rollout->step].at_once;
	const unsigned int started = rollout_count(rollout, ROLLOUT_STARTED);
	const int pending = rollout_find_pending(rollout);

	/* Workers that wait for the others of their step change no share. */
	if ((started && !world->spare) || (!at_once && rollout->halt != ROLLOUT_GOES_ON))
		return ROLLOUT_WAIT;
	if (pending >= 0 && started < rollout->batch) {
		if (!rollout_is_open(rollout, 0, world->now))
			return ROLLOUT_WAIT;
		rollout->phase[pending] = ROLLOUT_STARTED;
		*ret_slot = rollout->slots.at[pending];
		return ROLLOUT_START;
	}
	if (started || rollout->halt != ROLLOUT_GOES_ON)
		return ROLLOUT_WAIT;
	if (at_once)
		return rollout_is_open(rollout, rollout->step + 1, world->now) ? ROLLOUT_FLIP
		                                                               : ROLLOUT_WAIT;
	rollout_note_flip(rollout, world->now);
	return ROLLOUT_COMMIT;
}

/* Whether the step that is in force has to last longer. Halts the rollout if it does so for good.
 */
static bool rollout_step_lasts(struct rollout *rollout, int64_t now)
{
	const struct rollout_step *step = &rollout->steps[rollout->step];
	const int64_t end = rollout->since + step->time;

	if (rollout->halt != ROLLOUT_GOES_ON)
		return true;
	if (rollout->full || rollout->passed)
		return false;
	if (step->pauses) {
		rollout_halt(rollout, ROLLOUT_HALT_STEP, now);
		return true;
	}
	if (now < end)
		return true;
	if (!step->judged || rollout->judgement == ROLLOUT_GOOD)
		return false;
	if (rollout->deadline && now >= end + rollout->deadline)
		rollout_halt(rollout,
		             rollout->judgement == ROLLOUT_NO_TRAFFIC ? ROLLOUT_HALT_NO_TRAFFIC
		                                                      : ROLLOUT_HALT_INCONCLUSIVE,
		             now);
	return true;
}

/* The same, or the gate before the next step is shut. */
static bool rollout_lasts(struct rollout *rollout, int64_t now)
{
	const bool is_last = rollout->step + 1 == rollout->n_steps;

	if (!rollout_step_lasts(rollout, now))
		return !rollout_is_open(rollout, rollout->step + (is_last ? 1 : 2), now);
	rollout->at_gate = false;
	return true;
}

static bool rollout_is_to_end(struct rollout *rollout, int64_t now)
{
	if (!rollout->keep_going && rollout_count(rollout, ROLLOUT_FAILED))
		rollout->aborted = true;
	if (rollout->halt != ROLLOUT_GOES_ON && rollout->pause_timeout &&
	    now >= rollout->halted_at + rollout->pause_timeout)
		rollout->aborted = true;
	return rollout->aborted;
}

enum rollout_verdict rollout_next(struct rollout *rollout, const struct rollout_world *world,
                                  unsigned int *ret_slot)
{
	if (rollout_is_to_end(rollout, world->now)) {
		if (!rollout->keeps_old || world->old_lives)
			return ROLLOUT_ROLLBACK;
		rollout_halt(rollout, ROLLOUT_HALT_NO_OLD, world->now);
		return ROLLOUT_WAIT;
	}
	for (;;) {
		enum rollout_verdict verdict = ROLLOUT_COMMIT;

		if (!rollout->in_force)
			verdict = rollout_next_worker(rollout, world, ret_slot);
		if (verdict != ROLLOUT_COMMIT)
			return verdict;
		if (rollout_lasts(rollout, world->now))
			return ROLLOUT_WAIT;
		if (rollout->step + 1 == rollout->n_steps)
			return ROLLOUT_COMMIT;
		rollout_begin_step(rollout, rollout->step + 1);
	}
}

int64_t rollout_next_time(const struct rollout *rollout)
{
	const struct rollout_step *step = &rollout->steps[rollout->step];
	const int64_t end = rollout->since + step->time;

	if (rollout->aborted)
		return 0;
	if (rollout->halt != ROLLOUT_GOES_ON)
		return rollout->pause_timeout ? rollout->halted_at + rollout->pause_timeout : 0;
	if (rollout->at_gate)
		return rollout->deadline ? rollout->gate_at + rollout->deadline : 0;
	if (!rollout->in_force)
		return 0;
	if (!step->judged || rollout->judgement == ROLLOUT_GOOD)
		return end;
	return rollout->deadline ? end + rollout->deadline : 0;
}

void rollout_record(struct rollout *rollout, unsigned int slot, enum rollout_phase phase)
{
	for (size_t i = 0; i < rollout->slots.n; i++)
		if (rollout->slots.at[i] == slot && rollout->phase[i] != ROLLOUT_PENDING &&
		    (phase != ROLLOUT_READY || rollout->phase[i] == ROLLOUT_STARTED))
			rollout->phase[i] = phase;
}

void rollout_note_flip(struct rollout *rollout, int64_t now)
{
	for (size_t i = 0; i < rollout->slots.n; i++)
		if (rollout->phase[i] == ROLLOUT_READY)
			rollout->phase[i] = ROLLOUT_REPLACED;
	rollout->n_in_force = rollout->step + 1;
	rollout->in_force = true;
	rollout->since = now;
	rollout->judgement = ROLLOUT_UNKNOWN;
}

void rollout_judge(struct rollout *rollout, enum rollout_judgement judgement)
{
	rollout->judgement = judgement;
	rollout->aborted |= judgement == ROLLOUT_BAD;
}

void rollout_open_gate(struct rollout *rollout)
{
	rollout->n_open += rollout->at_gate;
	rollout->at_gate = false;
}

/* If a worker has failed, and no old one lives that could return, it is started again. */
void rollout_promote(struct rollout *rollout, bool full)
{
	for (size_t i = 0; i < rollout->slots.n; i++)
		if (rollout->halt == ROLLOUT_HALT_NO_OLD && rollout->phase[i] == ROLLOUT_FAILED)
			rollout->phase[i] = ROLLOUT_PENDING;
	if (rollout_count(rollout, ROLLOUT_PENDING) && rollout->halt == ROLLOUT_HALT_NO_OLD)
		rollout->in_force = false;
	rollout->at_gate |= rollout->halt == ROLLOUT_HALT_GATE;
	rollout_open_gate(rollout);
	rollout->halt = ROLLOUT_GOES_ON;
	rollout->aborted = false;
	rollout->passed = rollout->in_force;
	rollout->full |= full;
	if (full && !rollout->in_force)
		rollout_begin_step(rollout, rollout->n_steps - 1);
}

void rollout_pause(struct rollout *rollout, int64_t now)
{
	if (rollout->halt == ROLLOUT_GOES_ON)
		rollout_halt(rollout, ROLLOUT_HALT_ASKED, now);
}

void rollout_abort(struct rollout *rollout)
{
	rollout->aborted = true;
}
