/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reload_flip.h"

#include <stdio.h>
#include <stdlib.h>

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

/* How often it is tried again to put a step in force. */
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

/* The old worker of a slot may have died while it was held. Then the slot gets no new connection
 * until a worker with the old command is ready, unless no other slot would get any. */
static void reload_flip_leave_lost(struct supervisor *sup, const struct rollout *was, size_t n_back)
{
	for (size_t i = 0; i < was->slots.n; i++) {
		struct slot *it = &sup->slots[was->slots.at[i]];
		struct worker *w = it->current;
		struct error err = {};

		if (was->phase[i] != ROLLOUT_REPLACED || !w ||
		    supervisor_state_held_worker(sup, it->number))
			continue;
		if (!n_back && rollout_count(was, ROLLOUT_PENDING) == 0)
			return;
		if (placement_withdraw(sup, it->number, &err) < 0) {
			report_line(sup, "%s", err.text);
			continue;
		}
		it->current = NULL;
		w->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
		worker_event(w, WORKER_EVENT_HOLD);
	}
}

void reload_flip_back(struct supervisor *sup, const struct rollout *was)
{
	static const struct slots none;
	const bool of_deployment = sup->reload->events;
	_cleanup_free_ struct worker **workers =
	        memory_need(calloc(was->slots.n + 1, sizeof(struct worker *)));
	struct error err = {};
	size_t n = 0;
	int r;

	/* A slot that is PENDING has its old worker: one that is held there is new. */
	for (size_t i = 0; i < was->slots.n; i++) {
		if (was->phase[i] == ROLLOUT_PENDING)
			continue;
		workers[n] = supervisor_state_held_worker(sup, was->slots.at[i]);
		n += workers[n] != NULL;
	}
	if (of_deployment)
		reload_flip_leave_lost(sup, was, n);
	r = placement_flip(sup,
	                   &(struct placement_flip){.workers = workers,
	                                            .n = n,
	                                            .canaries = of_deployment ? &none : NULL},
	                   NULL, &err);
	if (r != 0)
		report_line(sup, "not all workers return in one step: %s", err.text);
	for (size_t i = 0; i < n; i++)
		if (r == 0)
			reload_flip_note_in_slot(workers[i]);
		else
			worker_event(workers[i], WORKER_EVENT_RECALL);
}
