/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reload_end.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/log.h"
#include "supervise/control.h"
#include "supervise/health.h"
#include "supervise/park.h"
#include "supervise/persisted_command.h"
#include "supervise/plan.h"
#include "supervise/reload_flip.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/slot.h"
#include "supervise/supervisor_state.h"
#include "supervise/worker.h"

void reload_end_free(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->reload->rollout.slots.n; i++)
		plan_replace(&sup->slots[sup->reload->rollout.slots.at[i]].plan, NULL);
	plan_unref(sup->reload->plan);
	sd_event_source_disable_unref(sup->reload->timer);
	free(sup->reload);
	sup->reload = NULL;
}

void reload_end_retire_held(struct supervisor *sup)
{
	for (struct worker *w = sup->workers, *next; w; w = next) {
		next = w->next;
		if (w->state == WORKER_HELD)
			worker_event(w, WORKER_EVENT_RETIRE);
	}
}

void reload_end_commit(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	const struct reload_events *events = it->events;
	const unsigned int replaced = rollout_count(&it->rollout, ROLLOUT_REPLACED);
	unsigned int failed = rollout_count(&it->rollout, ROLLOUT_FAILED);
	bool restored = it->restoring;
	char why[sizeof(it->why)];
	struct error err = {};
	struct slots added = {};
	unsigned int was, n_before = sup->n_slots;

	report_line(sup, "%s: %u of %zu workers are new", restored ? "restored" : it->what,
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
		plan_replace(&sup->plan, plan_ref(it->plan));
	}
	reload_end_free(sup);
	if (!events)
		reload_end_retire_held(sup);
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
	if (events)
		events->ended(sup, replaced && !failed && !restored, why);
	else
		control_answer_reload(sup, failed || restored ? EXIT_REFUSED : EXIT_OK, why,
		                      &added);
}

/* Whether the slot had no worker before the reload, and was not to get one. */
static bool reload_end_was_empty(const struct reload *it, unsigned int slot)
{
	return it->was[slot] == RPD_RUN_FAILED || it->was[slot] == RPD_RUN_STOPPED;
}

/* Starts a worker with the old command, unless the old worker @is_back. A slot that was failed or
 * stopped before the reload becomes that again. */
static void reload_end_roll_back_slot(struct supervisor *sup, unsigned int slot,
                                      enum rollout_phase phase, bool is_back)
{
	struct slot *it = &sup->slots[slot];
	struct worker *next = it->next;

	it->next = NULL;
	plan_replace(&it->plan, NULL);
	if (next)
		worker_event(next, WORKER_EVENT_STOP);
	if (is_back)
		return;
	if (!it->current && reload_end_was_empty(sup->reload, slot))
		slot_leave(sup, slot, sup->reload->was[slot], sup->reload->had_ended[slot]);
	else if (!it->current || (phase == ROLLOUT_REPLACED && !sup->reload->in_place)) {
		if (sup->reload->events && it->old_label[0] == '\0')
			strcpy(it->old_label, sup->plan->config.label);
		slot_start(sup, slot);
	}
}

/* With in-place the old workers are gone. If the reload has changed the command, begins a second
 * pass, which replaces the new workers by workers of the old command. Returns whether a second pass
 * has begun. */
static bool reload_end_restore(struct supervisor *sup)
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
	plan_replace(&it->plan, plan_ref(sup->plan));
	it->restoring = true;
	it->rolling_back = false;
	return true;
}

enum reload_end reload_end_roll_back(struct supervisor *sup)
{
	struct reload *it = sup->reload;
	const struct reload_events *events = it->events;
	const struct rollout was = it->rollout;
	const struct worker *before[RPD_SLOT_MAX];
	char why[sizeof(it->why)];

	/* Clients get this with their answer. */
	if (!it->n_back_later)
		log_line("%s: %s %s%s%s", sup->name, it->what, events ? "is rolled back" : "failed",
		         it->why[0] ? ": " : "", it->why);
	it->rolling_back = true;
	for (size_t i = 0; i < was.slots.n; i++)
		before[i] = sup->slots[was.slots.at[i]].current;
	if (reload_flip_back(sup, &was) == RELOAD_FLIP_LATER) {
		it->rolling_back = false;
		return RELOAD_END_LATER;
	}
	for (size_t i = 0; i < was.slots.n; i++) {
		const struct worker *now = sup->slots[was.slots.at[i]].current;

		if (was.phase[i] != ROLLOUT_PENDING || !events)
			reload_end_roll_back_slot(sup, was.slots.at[i], was.phase[i],
			                          now && now != before[i]);
	}
	if (reload_end_restore(sup))
		return RELOAD_END_RESTORES;
	strcpy(why, it->why);
	reload_end_free(sup);
	park_end_reload(sup, false);
	if (supervisor_state_has_worker(sup))
		report_line(sup, "the old workers keep serving");
	health_replace_unhealthy(sup);
	slot_start_waiting(sup);
	if (events)
		events->ended(sup, false, why);
	else
		control_answer_reload(sup, EXIT_REFUSED, why, NULL);
	return RELOAD_END_ENDED;
}
