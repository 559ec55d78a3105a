/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reload_flip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "supervise/health.h"
#include "supervise/placement.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/slot.h"
#include "supervise/supervisor_state.h"
#include "supervise/worker.h"

/* How often it is tried again to put a step in force, and to give the old workers their slots back.
 */
#define LATER_MAX 6

/* The worker was put into its slot together with others. */
static void reload_flip_note_in_slot(struct worker *w)
{
	worker_event(w, WORKER_EVENT_TAKES);
	slot_take(w);
	health_watch(w);
}

/* Lists the workers of READY slots, and the slots that have a new worker when the step is in force.
 */
static size_t reload_flip_list(const struct supervisor *sup, struct worker **workers,
                               struct slots *ret_new)
{
	const struct rollout *rollout = &sup->reload->rollout;
	size_t n = 0;

	ret_new->n = 0;
	for (size_t i = 0; i < rollout->slots.n; i++) {
		const unsigned int slot = rollout->slots.at[i];

		if (rollout->phase[i] == ROLLOUT_READY)
			workers[n++] = sup->slots[slot].next;
		if (rollout->phase[i] == ROLLOUT_READY || rollout->phase[i] == ROLLOUT_REPLACED)
			ret_new->at[ret_new->n++] = slot;
	}
	return n;
}

static enum reload_flip_outcome reload_flip_note_failed(struct supervisor *sup,
                                                        struct worker *culprit, const char *why)
{
	struct reload *it = sup->reload;

	it->n_later = 0;
	if (culprit) {
		worker_fail(culprit, "can't take its slot: %s", why);
	} else {
		snprintf(it->why, sizeof(it->why), "%.*s", (int)sizeof(it->why) - 1, why);
		rollout_abort(&it->rollout);
	}
	return RELOAD_FLIP_FAILED;
}

enum reload_flip_outcome reload_flip(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	const struct rollout_step *step = &it->rollout.steps[it->rollout.step];
	_cleanup_free_ struct worker **workers =
	        memory_need(calloc(it->rollout.slots.n, sizeof(struct worker *)));
	struct worker *culprit = NULL;
	struct error err = {};
	struct slots new;
	const size_t n = reload_flip_list(sup, workers, &new);
	const struct placement_flip flip = {
	        .workers = workers, .n = n, .canaries = &new, .permille = step->permille};
	const int r = placement_flip(sup, &flip, &culprit, &err);

	if (r > 0 && it->n_later++ < LATER_MAX)
		return RELOAD_FLIP_LATER;
	if (r != 0)
		return reload_flip_note_failed(sup, culprit, err.text);
	it->n_later = 0;
	for (size_t i = 0; i < n; i++)
		reload_flip_note_in_slot(workers[i]);
	rollout_note_flip(&it->rollout, clock_ns(CLOCK_MONOTONIC));
	return RELOAD_FLIP_DONE;
}

/* Whether a slot has an old worker that was not replaced. */
static bool reload_flip_old_serves(const struct supervisor *sup, const struct rollout *was)
{
	for (size_t i = 0; i < was->slots.n; i++)
		if (was->phase[i] != ROLLOUT_REPLACED && sup->slots[was->slots.at[i]].current)
			return true;
	return false;
}

/* The old worker of a slot may have died while it was held. Then the slot gets no new connection
 * until a worker with the old command is ready, unless no other slot would get any. */
static void reload_flip_leave_lost(struct supervisor *sup, const struct rollout *was, size_t n_back)
{
	if (!n_back && !reload_flip_old_serves(sup, was))
		return;
	for (size_t i = 0; i < was->slots.n; i++) {
		const unsigned int slot = was->slots.at[i];
		struct error err = {};

		if (was->phase[i] == ROLLOUT_REPLACED && sup->slots[slot].current &&
		    !supervisor_state_held_worker(sup, slot) &&
		    slot_vacate(sup, slot, WORKER_EVENT_HOLD, &err) < 0)
			report_line(sup, "%s", err.text);
	}
}

/* reload_flip_leave_lost() has taken it out of its slot, in an attempt before. */
static bool reload_flip_is_new(const struct supervisor *sup, const struct worker *held)
{
	return sup->reload->events && !strcmp(held->label, sup->reload->plan->config.label);
}

/* The old workers that are held. A slot that is PENDING has its old worker: one that is held there
 * is new. */
static size_t reload_flip_list_back(const struct supervisor *sup, const struct rollout *was,
                                    struct worker **workers)
{
	size_t n = 0;

	for (size_t i = 0; i < was->slots.n; i++) {
		struct worker *held = supervisor_state_held_worker(sup, was->slots.at[i]);

		if (held && was->phase[i] != ROLLOUT_PENDING && !reload_flip_is_new(sup, held))
			workers[n++] = held;
	}
	return n;
}

/* It is tried again. */
static void reload_flip_note_later(struct supervisor *sup, const char *why)
{
	if (sup->reload->n_back_later++ == 0)
		report_line(sup, "the old workers can't return yet: %s", why);
}

/* An old worker can't return. The others do so without it. */
static void reload_flip_give_up(struct worker *w, struct worker **workers, size_t *n,
                                const char *why)
{
	size_t left = 0;

	report_line(w->sup, "slot %u: pid %u can't return: %s; a worker is started in its place",
	            w->slot, w->pid, why);
	for (size_t i = 0; i < *n; i++)
		if (workers[i] != w)
			workers[left++] = workers[i];
	*n = left;
	worker_event(w, WORKER_EVENT_RETIRE);
}

enum reload_flip_outcome reload_flip_back(struct supervisor *sup, const struct rollout *was)
{
	static const struct slots none;
	_cleanup_free_ struct worker **workers =
	        memory_need(calloc(was->slots.n + 1, sizeof(struct worker *)));
	struct placement_flip flip = {.workers = workers,
	                              .n = reload_flip_list_back(sup, was, workers),
	                              .canaries = sup->reload->events ? &none : NULL};
	struct worker *culprit;
	struct error err = {};
	int r;

	do {
		culprit = NULL;
		if (flip.canaries)
			reload_flip_leave_lost(sup, was, flip.n);
		r = placement_flip(sup, &flip, &culprit, &err);
		if (r > 0 && sup->reload->n_back_later < LATER_MAX) {
			reload_flip_note_later(sup, err.text);
			return RELOAD_FLIP_LATER;
		}
		if (culprit)
			reload_flip_give_up(culprit, workers, &flip.n, err.text);
	} while (culprit);
	for (size_t i = 0; i < flip.n; i++)
		if (r == 0)
			reload_flip_note_in_slot(workers[i]);
		else
			worker_event(workers[i], WORKER_EVENT_RECALL);
	if (r == 0)
		return RELOAD_FLIP_DONE;
	report_line(sup, "not all workers return in one step: %s", err.text);
	flip.n = 0;
	if (flip.canaries && placement_flip(sup, &flip, NULL, &err) != 0)
		report_line(sup, "the share of the new version stays in force: %s", err.text);
	return RELOAD_FLIP_DONE;
}
