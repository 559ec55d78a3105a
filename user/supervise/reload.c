/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "core/output_hint.h"
#include "stream/log.h"
#include "supervise/control.h"
#include "supervise/deployment_hold.h"
#include "supervise/due.h"
#include "supervise/endpoints.h"
#include "supervise/log_link.h"
#include "supervise/park.h"
#include "supervise/placement.h"
#include "supervise/plan.h"
#include "supervise/reload_end.h"
#include "supervise/reload_flip.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/postponed.h"
#include "supervise/slot.h"
#include "supervise/supervisor_state.h"
#include "supervise/worker.h"

/* Between two tries to put a step in force. */
#define RELOAD_LATER_NS (NS_PER_S / 2)

void reload_list_slots(const struct supervisor *sup, struct slots *ret)
{
	ret->n = 0;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].run != RPD_RUN_STOPPED || sup->slots[slot].ended)
			ret->at[ret->n++] = slot;
}

/* Programs that must not run twice at a time can still share a port. */
static bool reload_is_in_place(const struct supervisor *sup, const struct run_config *config)
{
	return config->in_place == RUN_IN_PLACE_YES ||
	       (config->in_place == RUN_IN_PLACE_UNLESS_LISTENING &&
	        !supervisor_state_has_listener(sup));
}

struct reload_ways reload_ways_of(const struct supervisor *sup, const struct run_config *config)
{
	return (struct reload_ways){.batch = config->batch,
	                            .in_place = reload_is_in_place(sup, config),
	                            .keep_going = config->keep_going};
}

/* How many workers may leave their slots now so that one stays live. */
static unsigned int reload_spare(const struct supervisor *sup)
{
	unsigned int live = 0;

	if (!sup->reload->in_place)
		return ROLLOUT_ANY;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		live += sup->slots[slot].current != NULL;
	return live ? live - 1 : 0;
}

/* Starts a worker in the slot. A failure counts as the reload's. */
static void reload_start_worker(struct supervisor *sup, unsigned int slot)
{
	struct error err = {};

	if (slot_try_start(sup, slot, &err) < 0)
		reload_note_failed(sup, slot, NULL, err.text);
}

/* A worker that is starting, or is started after a pause, has the old command. */
static void reload_take_slot(struct supervisor *sup, unsigned int slot)
{
	struct slot *it = &sup->slots[slot];
	struct worker *next = it->next;

	it->next = NULL;
	it->timer = sd_event_source_disable_unref(it->timer);
	if (next)
		worker_event(next, WORKER_EVENT_STOP);
	sup->reload->was[slot] = it->run;
	sup->reload->had_ended[slot] = it->ended;
}

/* Starts a new worker for the slot. With in-place the old one ends first: reload_note_gone(). */
static void reload_start(struct supervisor *sup, unsigned int slot)
{
	struct slot *it = &sup->slots[slot];
	struct error err = {};

	if (sup->reload->events)
		reload_take_slot(sup, slot);
	it->crashes = 0;
	plan_replace(&it->plan, plan_ref(sup->reload->plan));
	if (!sup->reload->in_place || !it->current) {
		reload_start_worker(sup, slot);
		return;
	}
	if (slot_vacate(sup, slot, WORKER_EVENT_RETIRE, &err) < 0) {
		reload_note_failed(sup, slot, NULL, err.text);
		return;
	}
	it->run = RPD_RUN_STARTING;
	placement_note_run(sup, slot);
}

static enum rollout_verdict reload_next(struct supervisor *sup, unsigned int *ret_slot)
{
	const struct rollout_world world = {.now = clock_ns(CLOCK_MONOTONIC),
	                                    .spare = reload_spare(sup),
	                                    .old_lives = reload_state_old_lives(sup)};

	return rollout_next(&sup->reload->rollout, &world, ret_slot);
}

static int reload_on_time(sd_event_source *source, uint64_t now, void *data)
{
	reload_advance(data);
	return 0;
}

/* @at: CLOCK_MONOTONIC, ns; 0 = never. */
static void reload_arm(struct supervisor *sup, int64_t at)
{
	struct reload *it = sup->reload;

	it->timer = sd_event_source_disable_unref(it->timer);
	if (at)
		memory_check(sd_event_add_time(sup->loop, &it->timer, CLOCK_MONOTONIC,
		                               (uint64_t)(at + 999) / 1000, 1000, reload_on_time,
		                               sup));
}

/* This may cause events that call it again: see `advancing`. */
void reload_advance(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	bool later;
	unsigned int slot;

	if (!it || it->advancing) {
		if (it)
			it->again = true;
		return;
	}
	it->advancing = true;
	do {
		enum rollout_verdict verdict;

		it->again = later = false;
		while ((verdict = reload_next(sup, &slot)) == ROLLOUT_START)
			reload_start(sup, slot);
		if (verdict != ROLLOUT_ROLLBACK)
			it->n_back_later = 0; /* a person has promoted it meanwhile */
		if (verdict == ROLLOUT_COMMIT) {
			reload_end_commit(sup);
			reload_begin_queued(sup);
			return;
		}
		if (verdict == ROLLOUT_ROLLBACK) {
			const enum reload_end end = reload_end_roll_back(sup);

			if (end == RELOAD_END_ENDED) {
				reload_begin_queued(sup);
				return;
			}
			later = end == RELOAD_END_LATER;
		}
		if (verdict == ROLLOUT_FLIP)
			later = reload_flip(sup) == RELOAD_FLIP_LATER;
		it->again |= verdict != ROLLOUT_WAIT && !later;
	} while (it->again);
	it->advancing = false;
	reload_arm(sup, later ? clock_ns(CLOCK_MONOTONIC) + RELOAD_LATER_NS
	                      : rollout_next_time(&it->rollout));
	if (it->events)
		it->events->changed(sup);
	if (it->rollout.halt == ROLLOUT_HALT_NO_OLD)
		slot_start_waiting(sup); /* the slots are no longer those of the rollout */
}

int reload_check_idle(const struct supervisor *sup, struct error *err)
{
	if (sup->reload || sup->postponed)
		return error_set(
		        err, -EBUSY,
		        "service '%s': %s is in progress; retry when it has finished%s%s%s",
		        sup->name,
		        sup->reload && sup->reload->events ? sup->reload->what : "a reload",
		        sup->reload && sup->reload->events ? ", or end it: `reuseportd abort " : "",
		        sup->reload && sup->reload->events ? sup->name : "",
		        sup->reload && sup->reload->events ? "`" : "");
	if (sup->stopping)
		return error_set(err, -EBUSY, "service '%s' is being stopped", sup->name);
	return 0;
}

static void reload_set_deployment(struct reload *it, const struct reload_deployment *deployment)
{
	snprintf(it->what, sizeof(it->what), "the deployment of '%s'", deployment->label);
	it->events = deployment->events;
	it->rollout = *deployment->rollout;
}

/* Slots that have new workers already. */
static void reload_resume(struct supervisor *sup)
{
	const struct rollout *rollout = &sup->reload->rollout;

	for (size_t i = 0; i < rollout->slots.n; i++)
		if (rollout->phase[i] == ROLLOUT_REPLACED) {
			sup->reload->was[rollout->slots.at[i]] = RPD_RUN_UP;
			plan_replace(&sup->slots[rollout->slots.at[i]].plan,
			             plan_ref(sup->reload->plan));
		}
}

int reload_begin(struct supervisor *sup, const struct slots *slots, struct plan *plan,
                 const struct reload_ways *ways, struct error *err)
{
	struct slots all;
	int r = reload_check_idle(sup, err);

	if (r < 0)
		return r;
	reload_list_slots(sup, &all);
	sup->reload = calloc(1, sizeof(*sup->reload));
	if (!sup->reload)
		return error_set(err, -ENOMEM, "out of memory");
	sup->reload->plan = plan_ref(plan);
	sup->reload->in_place = ways->in_place;
	sup->reload->of_all = slots->n >= all.n;
	rollout_begin(&sup->reload->rollout, slots, ways->batch, ways->keep_going);
	strcpy(sup->reload->what, "reload");
	if (ways->deployment)
		reload_set_deployment(sup->reload, ways->deployment);
	if (ways->deployment)
		reload_resume(sup);
	else
		deployment_hold_end(sup); /* of a deployment that has ended */
	endpoints_update_private(sup);
	for (size_t i = 0; i < slots->n && !ways->deployment; i++)
		reload_take_slot(sup, slots->at[i]);
	reload_advance(sup);
	return 0;
}

bool reload_note_ready(struct supervisor *sup, unsigned int slot)
{
	struct reload *it = sup->reload;

	if (!reload_state_has(sup, slot) || reload_state_phase(sup, slot) != ROLLOUT_STARTED ||
	    !it->rollout.steps[it->rollout.step].at_once)
		return false;
	rollout_record(&it->rollout, slot, ROLLOUT_READY);
	reload_wake(sup); /* when the worker stands by */
	return true;
}

void reload_wake(struct supervisor *sup)
{
	reload_arm(sup, clock_ns(CLOCK_MONOTONIC));
}

/* Meanwhile workers are started as if there were no reload. It may be an old one. */
static void reload_note_halted(struct supervisor *sup, unsigned int slot)
{
	if (reload_state_phase(sup, slot) == ROLLOUT_FAILED)
		rollout_record(&sup->reload->rollout, slot, ROLLOUT_REPLACED);
	reload_wake(sup);
}

void reload_note_done(struct supervisor *sup, unsigned int slot)
{
	if (sup->reload && sup->reload->rollout.halt == ROLLOUT_HALT_NO_OLD)
		reload_note_halted(sup, slot);
	if (!reload_state_has(sup, slot) || reload_state_phase(sup, slot) != ROLLOUT_STARTED)
		return;
	rollout_record(&sup->reload->rollout, slot, ROLLOUT_REPLACED);
	report_line(sup, "%u of %zu replaced",
	            rollout_count(&sup->reload->rollout, ROLLOUT_REPLACED),
	            sup->reload->rollout.slots.n);
	reload_advance(sup);
}

/* The new worker could not run beside the worker that it was to replace. */
static void reload_add_in_place(struct reload *it)
{
	const size_t used = strlen(it->why);

	snprintf(it->why + used, sizeof(it->why) - used,
	         "; if the program can't run twice at the same time, use --in-place: each old "
	         "worker then ends before the new one starts");
}

void reload_note_failed(struct supervisor *sup, unsigned int slot, const struct worker *w,
                        const char *why)
{
	struct reload *it = sup->reload;
	struct worker *held = supervisor_state_held_worker(sup, slot);
	const char *tail;
	int phase = reload_state_phase(sup, slot);

	if (phase != ROLLOUT_STARTED && phase != ROLLOUT_REPLACED)
		return; /* it was an old worker */
	tail = w ? log_link_tail(w) : "";
	if (!w)
		snprintf(it->why, sizeof(it->why), "slot %u: %s", slot, why);
	else if (w->why[0])
		snprintf(it->why, sizeof(it->why), "slot %u: the new worker (pid %u) %s", slot,
		         w->pid, w->why);
	else
		snprintf(it->why, sizeof(it->why), "slot %u: the new worker (pid %u) ended (%s)",
		         slot, w->pid, w->end[0] ? w->end : "its exit status is unknown");
	if (w && !w->rival && !it->in_place && output_hint_runs_already(tail) &&
	    (sup->slots[slot].current || held))
		reload_add_in_place(it);
	if (tail[0]) {
		size_t used = strlen(it->why), keep = sizeof(it->why) - used - 64;
		size_t n = strlen(tail);

		snprintf(it->why + used, sizeof(it->why) - used, "; its last lines were:\n%s",
		         n > keep ? tail + n - keep : tail);
	}
	rollout_record(&it->rollout, slot, ROLLOUT_FAILED);
	if (it->rollout.keep_going && held)
		worker_event(held, WORKER_EVENT_RECALL);
	reload_advance(sup);
}

void reload_note_gone(struct supervisor *sup, const struct worker *w)
{
	if (!reload_state_waits_for_room(sup, w->slot))
		return;
	for (const struct worker *other = sup->workers; other; other = other->next)
		if (other->slot == w->slot) /* another former worker is still there */
			return;
	reload_start_worker(sup, w->slot);
	park_update(sup);
}

bool reload_queue(struct supervisor *sup)
{
	static const char line[] = "a reload is in progress; one more is queued";

	if (sup->stopping || (!sup->reload && !sup->postponed))
		return false;
	if (!sup->reload_queued)
		log_line("%s: %s", sup->name, line);
	control_send_line(sup, line);
	sup->reload_queued = true;
	return true;
}

void reload_begin_queued(struct supervisor *sup)
{
	if (!sup->reload_queued)
		return;
	sup->reload_queued = false;
	due_now(sup, sup->on_reload);
}

void reload_drop(struct supervisor *sup)
{
	sup->reload_queued = false;
	postponed_drop(sup);
	if (sup->reload)
		reload_end_free(sup);
}
