/* SPDX-License-Identifier: BSD-2-Clause */
/* Carries out the plan of a reload (core/rollout.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/rollout.h"
#include "supervise/control.h"
#include "stream/log.h"
#include "supervise/types.h"

struct reload {
	struct rollout rollout;
	struct plan *plan;
	bool in_place;
	bool of_all;      /* its plan becomes the service's */
	bool taking_back; /* the old ones get their slots back */
	bool advancing;   /* reload_advance() is at work: what happens meanwhile it sees itself */
	bool again;
	/* A second pass that brings the old command back, where the old workers are gone. */
	bool restoring;
	char why[2048]; /* it failed */
	/* What each slot was when it began; and whether its worker had ended by itself. */
	enum rpd_run was[RPD_SLOT_MAX];
	bool had_ended[RPD_SLOT_MAX];
};

void reload_slots(const struct supervisor *sup, struct slots *ret)
{
	ret->n = 0;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].run != RPD_RUN_STOPPED)
			ret->at[ret->n++] = slot;
}

struct reload_ways reload_ways(const struct run_config *config)
{
	return (struct reload_ways){.batch = config->batch,
	                            .in_place = config->in_place,
	                            .keep_going = config->keep_going};
}

static int reload_phase_of(const struct supervisor *sup, unsigned int slot)
{
	for (size_t i = 0; sup->reload && i < sup->reload->rollout.slots.n; i++)
		if (sup->reload->rollout.slots.at[i] == slot)
			return sup->reload->rollout.phase[i];
	return -1;
}

bool reload_has(const struct supervisor *sup, unsigned int slot)
{
	return reload_phase_of(sup, slot) >= 0 && !sup->reload->taking_back;
}

bool reload_will_tell(const struct supervisor *sup, unsigned int slot)
{
	return reload_has(sup, slot) && !sup->reload->rollout.keep_going;
}

bool reload_holds(const struct supervisor *sup, unsigned int slot)
{
	return reload_has(sup, slot) && reload_phase_of(sup, slot) == ROLLOUT_STARTED;
}

/* In place: the slot's old worker is on its way out. */
static bool reload_waits_for_room(const struct supervisor *sup, unsigned int slot)
{
	const struct slot *it = &sup->slots[slot];

	return reload_has(sup, slot) && sup->reload->in_place && !it->next && !it->current &&
	       reload_phase_of(sup, slot) == ROLLOUT_STARTED;
}

static void reload_set_plan(struct slot *it, struct plan *plan)
{
	plan_unref(it->plan);
	it->plan = plan ? plan_ref(plan) : NULL;
}

static struct worker *reload_held_of(const struct supervisor *sup, unsigned int slot)
{
	for (struct worker *w = sup->workers; w; w = w->next)
		if (w->slot == slot && w->state == WORKER_HELD)
			return w;
	return NULL;
}

/* How many more may leave their slots now without the last one that is live. */
static unsigned int reload_spare(const struct supervisor *sup)
{
	unsigned int live = 0;

	if (!sup->reload->in_place)
		return ROLLOUT_ANY;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		live += sup->slots[slot].current != NULL;
	return live ? live - 1 : 0;
}

bool reload_makes_room(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (reload_waits_for_room(sup, slot))
			return true;
	return false;
}

/* A new worker for the slot; in place, when the old one is gone (reload_note_gone()). */
static void reload_start(struct supervisor *sup, unsigned int slot)
{
	struct slot *it = &sup->slots[slot];
	struct worker *old = it->current;
	struct error err = {};

	it->crashes = 0;
	reload_set_plan(it, sup->reload->plan);
	if (!sup->reload->in_place || !old) {
		slot_start(sup, slot);
		return;
	}
	if (placement_withdraw(sup, slot, &err) < 0) {
		reload_note_failed(sup, slot, NULL, err.text);
		return;
	}
	it->current = NULL;
	it->run = RPD_RUN_STARTING;
	placement_note(sup, slot);
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

	supervisor_log(sup, "%s: %u of %zu workers are new ones", restored ? "restored" : "reload",
	               replaced, it->rollout.slots.n);
	strcpy(why, it->why);
	was = sup->plan->config.workers;
	for (size_t i = 0; i < it->rollout.slots.n; i++)
		sup->slots[it->rollout.slots.at[i]].old_label[0] = '\0';
	it->plan->relabel &= failed > 0; /* of the new command are all the others from now on */
	/* A command of which no worker has come up is not the one that the next crash starts. */
	if (!restored && it->of_all && it->plan != sup->plan && replaced > 0) {
		if (persisted_command_keep(sup, &it->plan->config, &err) < 0)
			supervisor_log(sup, "%s", err.text);
		plan_unref(sup->plan);
		sup->plan = plan_ref(it->plan);
		timers_plan_changed(sup);
	}
	reload_free(sup);
	for (struct worker *w = sup->workers, *next; w; w = next) {
		next = w->next;
		if (w->state == WORKER_HELD)
			worker_event(w, WORKER_EVENT_RETIRE);
	}
	/* What `scale` has set holds, unless the configuration has another number than before. */
	if (sup->plan->config.workers != was &&
	    slot_scale(sup, sup->plan->config.workers, &err) < 0) {
		supervisor_log(sup, "%s", err.text);
		failed++;
		snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, err.text);
	}
	for (unsigned int slot = n_before; slot < sup->n_slots; slot++)
		added.at[added.n++] = slot;
	if (failed || restored)
		placement_trim(sup);
	slot_check_unhealthy(sup);
	slot_start_waiting(sup);
	control_reload_ended(sup, failed || restored ? EXIT_REFUSED : EXIT_OK, why, &added);
}

/* Nobody had it, nor was to. */
static bool reload_was_empty(const struct reload *it, unsigned int slot)
{
	return it->was[slot] == RPD_RUN_FAILED || it->was[slot] == RPD_RUN_STOPPED;
}

/* The slot has again who had it before, or one that is started like him; or it is failed, or
 * stopped, again. */
static void reload_take_back(struct supervisor *sup, unsigned int slot, enum rollout_phase phase)
{
	struct slot *it = &sup->slots[slot];
	struct worker *next = it->next, *held = reload_held_of(sup, slot);

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

/* In place the old workers are gone: with another command those that were replaced are replaced
 * again, by such of the old command. Returns whether that is necessary, and begun. */
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
	supervisor_log(sup, "the old command is started again in the %zu slots that were replaced",
	               replaced.n);
	rollout_begin(&it->rollout, &replaced, it->rollout.batch, true);
	plan_unref(it->plan);
	it->plan = plan_ref(sup->plan);
	it->restoring = true;
	it->taking_back = false;
	return true;
}

/* Returns whether the reload is over, and freed. */
static bool reload_roll_back(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	const struct rollout was = it->rollout;
	char why[sizeof(it->why)];

	log_line("%s: reload failed: %s", sup->name, it->why); /* who asked is told last */
	it->taking_back = true;
	for (size_t i = 0; i < was.slots.n; i++)
		reload_take_back(sup, was.slots.at[i], was.phase[i]);
	if (reload_restore(sup))
		return false;
	strcpy(why, it->why);
	reload_free(sup);
	placement_trim(sup);
	if (slot_any(sup))
		supervisor_log(sup, "the old workers serve on");
	slot_check_unhealthy(sup);
	slot_start_waiting(sup);
	control_reload_ended(sup, EXIT_REFUSED, why, NULL);
	return true;
}

/* Does all that can be done now. What it does may make things happen that ask for more of it. */
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
		while ((verdict = rollout_next(&it->rollout, reload_spare(sup), &slot)) ==
		       ROLLOUT_START)
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

int reload_begin(struct supervisor *sup, const struct slots *slots, struct plan *plan,
                 const struct reload_ways *ways, struct error *err)
{
	struct slots all;

	reload_slots(sup, &all);
	if (sup->reload)
		return error_set(err, -EBUSY,
		                 "service '%s': workers are being replaced already; try again when "
		                 "that is through",
		                 sup->name);
	if (sup->stopping)
		return error_set(err, -EBUSY, "service '%s' is being stopped", sup->name);
	sup->reload = calloc(1, sizeof(*sup->reload));
	if (!sup->reload)
		return error_set(err, -ENOMEM, "out of memory");
	sup->reload->plan = plan_ref(plan);
	sup->reload->in_place = ways->in_place;
	sup->reload->of_all = slots->n >= all.n;
	rollout_begin(&sup->reload->rollout, slots, ways->batch, ways->keep_going);
	/* A replacement that is under way, or comes after a pause, is of the old command. */
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

void reload_note_admitted(struct supervisor *sup, unsigned int slot)
{
	if (!reload_has(sup, slot) || reload_phase_of(sup, slot) != ROLLOUT_STARTED)
		return;
	rollout_record(&sup->reload->rollout, slot, ROLLOUT_REPLACED);
	supervisor_log(sup, "%u of %zu replaced",
	               rollout_count(&sup->reload->rollout, ROLLOUT_REPLACED),
	               sup->reload->rollout.slots.n);
	reload_advance(sup);
}

void reload_note_failed(struct supervisor *sup, unsigned int slot, const struct worker *w,
                        const char *why)
{
	struct reload *it = sup->reload;
	struct worker *held = reload_held_of(sup, slot);
	const char *tail = w && w->output ? output_tail(w->output) : "";
	int phase = reload_phase_of(sup, slot);

	if (phase != ROLLOUT_STARTED && phase != ROLLOUT_REPLACED)
		return; /* it was an old one */
	if (!w)
		snprintf(it->why, sizeof(it->why), "slot %u: %s", slot, why);
	else if (w->why[0])
		snprintf(it->why, sizeof(it->why), "slot %u: the new worker (pid %u) %s", slot,
		         w->pid, w->why);
	else
		snprintf(it->why, sizeof(it->why), "slot %u: the new worker (pid %u) ended (%s)",
		         slot, w->pid, w->end[0] ? w->end : "how is not known");
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
	if (!reload_waits_for_room(sup, w->slot))
		return;
	for (const struct worker *other = sup->workers; other; other = other->next)
		if (other->slot == w->slot) /* it was one from before the old one */
			return;
	slot_start(sup, w->slot);
	placement_park(sup);
}

void reload_drop(struct supervisor *sup)
{
	if (sup->reload)
		reload_free(sup);
}
