/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/output_hint.h"
#include "stream/log.h"
#include "supervise/control.h"
#include "supervise/due.h"
#include "supervise/endpoints.h"
#include "supervise/health.h"
#include "supervise/log_link.h"
#include "supervise/park.h"
#include "supervise/persisted_command.h"
#include "supervise/placement.h"
#include "supervise/plan.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/rereading.h"
#include "supervise/slot.h"
#include "supervise/supervisor_state.h"
#include "supervise/worker.h"

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

static void reload_set_plan(struct slot *it, struct plan *plan)
{
	plan_unref(it->plan);
	it->plan = plan ? plan_ref(plan) : NULL;
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

/* Starts a new worker for the slot. With in-place the old one ends first: reload_note_gone(). */
static void reload_start(struct supervisor *sup, unsigned int slot)
{
	struct slot *it = &sup->slots[slot];
	struct worker *old = it->current;
	struct error err = {};

	it->crashes = 0;
	reload_set_plan(it, sup->reload->plan);
	if (!sup->reload->in_place || !old) {
		reload_start_worker(sup, slot);
		return;
	}
	if (placement_withdraw(sup, slot, &err) < 0) {
		reload_note_failed(sup, slot, NULL, err.text);
		return;
	}
	it->current = NULL;
	it->run = RPD_RUN_STARTING;
	placement_note_run(sup, slot);
	old->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
	worker_event(old, WORKER_EVENT_RETIRE);
}

static void reload_free(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->reload->rollout.slots.n; i++)
		reload_set_plan(&sup->slots[sup->reload->rollout.slots.at[i]], NULL);
	plan_unref(sup->reload->plan);
	free(sup->reload);
	sup->reload = NULL;
}

static void reload_commit(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	const unsigned int replaced = rollout_count(&it->rollout, ROLLOUT_REPLACED);
	unsigned int failed = rollout_count(&it->rollout, ROLLOUT_FAILED);
	bool restored = it->restoring;
	char why[sizeof(it->why)];
	struct error err = {};
	struct slots added = {};
	unsigned int was, n_before = sup->n_slots;

	report_line(sup, "%s: %u of %zu workers are new", restored ? "restored" : "reload",
	            replaced, it->rollout.slots.n);
	strcpy(why, it->why);
	was = sup->plan->config.workers;
	for (size_t i = 0; i < it->rollout.slots.n; i++)
		sup->slots[it->rollout.slots.at[i]].old_label[0] = '\0';
	it->plan->relabel &=
	        failed > 0; /* all workers that start from now on have the new command */
	/* A command that no worker has come up with must not be started after the next crash. */
	if (!restored && it->of_all && it->plan != sup->plan && replaced > 0) {
		if (persisted_command_keep(sup, &it->plan->config, &err) < 0)
			report_line(sup, "%s", err.text);
		plan_unref(sup->plan);
		sup->plan = plan_ref(it->plan);
	}
	reload_free(sup);
	for (struct worker *w = sup->workers, *next; w; w = next) {
		next = w->next;
		if (w->state == WORKER_HELD)
			worker_event(w, WORKER_EVENT_RETIRE);
	}
	/* The number that `scale` has set holds, unless the configuration's number has changed. */
	if (sup->plan->config.workers != was &&
	    slot_scale(sup, sup->plan->config.workers, &err) < 0) {
		report_line(sup, "%s", err.text);
		failed++;
		snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, err.text);
	}
	for (unsigned int slot = n_before; slot < sup->n_slots; slot++)
		added.at[added.n++] = slot;
	park_end_reload(sup, !failed && !restored);
	health_replace_unhealthy(sup);
	slot_start_waiting(sup);
	report_change(sup);
	control_answer_reload(sup, failed || restored ? EXIT_REFUSED : EXIT_OK, why, &added);
	reload_begin_queued(sup);
}

/* Whether the slot had no worker before the reload, and was not to get one. */
static bool reload_was_empty(const struct reload *it, unsigned int slot)
{
	return it->was[slot] == RPD_RUN_FAILED || it->was[slot] == RPD_RUN_STOPPED;
}

/* Gives the slot back to its old worker, or starts a worker with the old command. A slot that was
 * failed or stopped before the reload becomes that again. */
static void reload_roll_back_slot(struct supervisor *sup, unsigned int slot,
                                  enum rollout_phase phase)
{
	struct slot *it = &sup->slots[slot];
	struct worker *next = it->next, *held = supervisor_state_held_worker(sup, slot);

	it->next = NULL;
	reload_set_plan(it, NULL);
	if (next)
		worker_event(next, WORKER_EVENT_STOP);
	if (held)
		worker_event(held, WORKER_EVENT_RECALL);
	else if (!it->current && reload_was_empty(sup->reload, slot))
		slot_leave(sup, slot, sup->reload->was[slot], sup->reload->had_ended[slot]);
	else if (!it->current || (phase == ROLLOUT_REPLACED && !sup->reload->in_place))
		slot_start(sup, slot);
}

/* With in-place the old workers are gone. If the reload has changed the command, begins a second
 * pass, which replaces the new workers by workers of the old command. Returns whether a second pass
 * has begun. */
static bool reload_restore(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	struct slots replaced = {};

	if (!it->in_place || it->plan == sup->plan || it->restoring)
		return false;
	for (size_t i = 0; i < it->rollout.slots.n; i++)
		if (it->rollout.phase[i] == ROLLOUT_REPLACED)
			replaced.at[replaced.n++] = it->rollout.slots.at[i];
	if (replaced.n == 0)
		return false;
	report_line(sup, "the old command is started again in %zu slots", replaced.n);
	rollout_begin(&it->rollout, &replaced, it->rollout.batch, true);
	plan_unref(it->plan);
	it->plan = plan_ref(sup->plan);
	it->restoring = true;
	it->rolling_back = false;
	return true;
}

/* Returns whether the reload has ended, and is freed. */
static bool reload_roll_back(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	const struct rollout was = it->rollout;
	char why[sizeof(it->why)];

	log_line("%s: reload failed: %s", sup->name,
	         it->why); /* clients get this with their answer */
	it->rolling_back = true;
	for (size_t i = 0; i < was.slots.n; i++)
		reload_roll_back_slot(sup, was.slots.at[i], was.phase[i]);
	if (reload_restore(sup))
		return false;
	strcpy(why, it->why);
	reload_free(sup);
	park_end_reload(sup, false);
	if (supervisor_state_has_worker(sup))
		report_line(sup, "the old workers keep serving");
	health_replace_unhealthy(sup);
	slot_start_waiting(sup);
	control_answer_reload(sup, EXIT_REFUSED, why, NULL);
	reload_begin_queued(sup);
	return true;
}

static enum rollout_verdict reload_next(struct supervisor *sup, unsigned int *ret_slot)
{
	const struct rollout_world world = {.now = clock_ns(CLOCK_MONOTONIC),
	                                    .spare = reload_spare(sup)};

	return rollout_next(&sup->reload->rollout, &world, ret_slot);
}

/* Does all that can be done now. This may cause events that call it again: see `advancing`. */
static void reload_advance(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	unsigned int slot;

	if (!it || it->advancing) {
		if (it)
			it->again = true;
		return;
	}
	it->advancing = true;
	do {
		enum rollout_verdict verdict;

		it->again = false;
		while ((verdict = reload_next(sup, &slot)) == ROLLOUT_START)
			reload_start(sup, slot);
		if (verdict == ROLLOUT_COMMIT) {
			reload_commit(sup);
			return;
		}
		if (verdict == ROLLOUT_ROLLBACK) {
			if (reload_roll_back(sup))
				return;
			it->again = true;
		}
	} while (it->again);
	it->advancing = false;
}

int reload_check_idle(const struct supervisor *sup, struct error *err)
{
	if (sup->reload || sup->rereading)
		return error_set(
		        err, -EBUSY,
		        "service '%s': a reload is in progress; retry when it has finished",
		        sup->name);
	if (sup->stopping)
		return error_set(err, -EBUSY, "service '%s' is being stopped", sup->name);
	return 0;
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
	endpoints_update_private(sup);
	/* A worker that is starting, or is started after a pause, has the old command. */
	for (size_t i = 0; i < slots->n; i++) {
		struct slot *it = &sup->slots[slots->at[i]];
		struct worker *next = it->next;

		it->next = NULL;
		it->timer = sd_event_source_disable_unref(it->timer);
		if (next)
			worker_event(next, WORKER_EVENT_STOP);
		sup->reload->was[it->number] = it->run;
		sup->reload->had_ended[it->number] = it->ended;
	}
	reload_advance(sup);
	return 0;
}

void reload_note_done(struct supervisor *sup, unsigned int slot)
{
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
	if (sup->stopping || (!sup->reload && !sup->rereading))
		return false;
	if (!sup->reload_queued)
		report_line(sup, "a reload is in progress; one more is queued");
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
	rereading_drop(sup);
	if (sup->reload)
		reload_free(sup);
}
