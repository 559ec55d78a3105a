/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is to be in a slot: the first start, starts after a crash, replacements, stops. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/restart_backoff.h"
#include "supervise/control.h"
#include "supervise/types.h"

/* So many may be starting at the same time for each processor: more only make each other late. */
#define STARTS_PER_CPU 2
#define STARTS_MIN     4

/* One that has to be replaced that soon has not been better than the one before. */
#define REPLACED_SOON_NS (60 * NS_PER_S)

static unsigned int slot_n_starting(const struct supervisor *sup)
{
	unsigned int n = 0;

	for (const struct worker *w = sup->workers; w; w = w->next)
		n += w->state == WORKER_STARTING;
	return n;
}

static unsigned int slot_starts_max(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus * STARTS_PER_CPU > STARTS_MIN ? cpus * STARTS_PER_CPU : STARTS_MIN;
}

static void slot_set_run(struct supervisor *sup, unsigned int slot, enum rpd_run run)
{
	if (sup->slots[slot].run == run)
		return;
	sup->slots[slot].run = run;
	placement_note(sup, slot);
}

static struct plan *slot_plan_of(struct supervisor *sup, unsigned int slot)
{
	return sup->slots[slot].plan ? sup->slots[slot].plan : sup->plan;
}

static int slot_on_pause_over(sd_event_source *source, uint64_t now, void *data)
{
	struct slot *it = data;

	it->timer = sd_event_source_disable_unref(it->timer);
	/* Else it is started when one of those that are starting is ready. */
	if (slot_n_starting(it->sup) < slot_starts_max() || it->current)
		slot_start(it->sup, it->number);
	return 0;
}

void slot_leave(struct supervisor *sup, unsigned int slot, enum rpd_run run, bool ended)
{
	sup->slots[slot].ended = ended;
	slot_set_run(sup, slot, run);
	supervisor_check_soon(sup);
}

/* No other is started. Its worker may have done what it is there for. */
static void slot_leave_empty(struct supervisor *sup, unsigned int slot, bool failed)
{
	supervisor_log(sup, "slot %u: %s, and not started again", slot,
	               failed ? "failed" : "stopped");
	slot_leave(sup, slot, failed ? RPD_RUN_FAILED : RPD_RUN_STOPPED, true);
}

static void slot_give_up(struct supervisor *sup, unsigned int slot, const char *why)
{
	const struct slot *it = &sup->slots[slot];

	if (it->current) {
		supervisor_log(sup, "slot %u: pid %u stays: none could take its place: %s", slot,
		               it->current->pid, why);
		return;
	}
	slot_leave(sup, slot, RPD_RUN_FAILED, it->ended);
	if (supervisor_has_work(sup))
		supervisor_log(sup, "slot %u: failed: %s; `reuseportd start %s %u` starts it again",
		               slot, why, sup->name, slot);
	else
		supervisor_log(sup, "slot %u: failed: %s", slot, why);
}

static void slot_start_after(struct supervisor *sup, unsigned int slot, int64_t pause)
{
	struct slot *it = &sup->slots[slot];

	it->restarts++;
	if (!it->current)
		it->run = RPD_RUN_BACKOFF;
	placement_note(sup, slot);
	sd_event_add_time_relative(sup->loop, &it->timer, CLOCK_MONOTONIC, pause / 1000, 1000,
	                           slot_on_pause_over, it);
}

/* What to do when the slot has lost, or did not get, a worker: start another after a pause. */
static void slot_start_later(struct supervisor *sup, unsigned int slot, int64_t uptime)
{
	struct slot *it = &sup->slots[slot];
	const struct run_config *config = &slot_plan_of(sup, slot)->config;
	int64_t pause = restart_backoff_pause(config, uptime, &it->crashes);

	it->timer = sd_event_source_disable_unref(it->timer);
	if (pause == RESTART_BACKOFF_NEVER) {
		char why[64];

		if (it->crashes > 1)
			snprintf(why, sizeof(why), "%u crashes in a row", it->crashes);
		else
			snprintf(why, sizeof(why), "it has crashed");
		slot_give_up(sup, slot, why);
		return;
	}
	slot_start_after(sup, slot, pause);
}

void slot_start(struct supervisor *sup, unsigned int slot)
{
	struct slot *it = &sup->slots[slot];
	struct plan *plan = slot_plan_of(sup, slot);
	struct error err = {};

	if (it->next || sup->stopping)
		return;
	it->timer = sd_event_source_disable_unref(it->timer);
	it->ended = false;
	it->next = worker_start(sup, slot, plan, &err);
	if (it->next) {
		if (!it->current)
			slot_set_run(sup, slot, RPD_RUN_STARTING);
		readiness_look(it->next);
		return;
	}
	supervisor_log(sup, "slot %u: %s", slot, err.text);
	if (reload_has(sup, slot)) {
		reload_note_failed(sup, slot, NULL, err.text);
		return;
	}
	if (!plan->config.restart && !it->current) {
		slot_leave_empty(sup, slot, true);
		return;
	}
	/* What can't be started at all from the beginning won't get better by itself. */
	if (!it->proven)
		slot_give_up(sup, slot, "it can't be started");
	else
		slot_start_later(sup, slot, 0);
}

void slot_start_ended(struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct slot *it = &sup->slots[slot];

		if (it->ended) {
			it->crashes = 0;
			slot_set_run(sup, slot, RPD_RUN_STARTING);
		}
	}
	slot_start_waiting(sup);
}

void slot_start_waiting(struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots && slot_n_starting(sup) < slot_starts_max();
	     slot++) {
		struct slot *it = &sup->slots[slot];

		if (!it->current && !it->next && !it->timer && !sup->stopping &&
		    !reload_has(sup, slot) &&
		    (it->run == RPD_RUN_STARTING || it->run == RPD_RUN_BACKOFF))
			slot_start(sup, slot);
	}
}

void slot_admitted(struct worker *w)
{
	struct supervisor *sup = w->sup;
	struct slot *it = &sup->slots[w->slot];
	struct worker *old = it->current;

	if (it->next == w)
		it->next = NULL;
	it->current = w;
	it->proven = true;
	it->run = RPD_RUN_UP;
	placement_note(sup, w->slot);
	supervisor_log(sup, "slot %u: pid %u %s%s", w->slot, w->pid,
	               placement_listens(w)
	                       ? "takes connections"
	                       : "listens on nothing: it is run and supervised, not steered",
	               old && old != w ? ", in place of the old one" : "");
	if (old && old != w) {
		old->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
		worker_event(old,
		             reload_holds(sup, w->slot) ? WORKER_EVENT_HOLD : WORKER_EVENT_RETIRE);
	}
	placement_park(sup);
	reload_note_admitted(sup, w->slot);
	slot_start_waiting(sup);
	supervisor_check_soon(sup);
}

static void slot_say_lost(const struct worker *w, bool was_up)
{
	const char *tail = w->output ? output_tail(w->output) : "";

	if (was_up)
		supervisor_log(w->sup, "slot %u: pid %u has ended (%s)", w->slot, w->pid,
		               w->end[0] ? w->end : "how is not known");
	else
		supervisor_log(w->sup, "slot %u: pid %u %s", w->slot, w->pid, w->why);
	if (!was_up && tail[0] && !reload_will_tell(w->sup, w->slot)) {
		char text[4096];

		/* Those who wait have not seen it; the log, or a file, has it already. */
		snprintf(text, sizeof(text), "slot %u: its last lines were:\n%s", w->slot, tail);
		control_log(w->sup, text);
	}
}

void slot_lost(struct worker *w)
{
	struct supervisor *sup = w->sup;
	struct slot *it = &sup->slots[w->slot];
	bool was_current = it->current == w, was_next = it->next == w;
	int64_t uptime = w->up_at ? clock_ns(CLOCK_MONOTONIC) - w->up_at : 0;

	if (!was_current && !was_next)
		return;
	slot_say_lost(w, was_current);
	if (was_current)
		it->current = NULL;
	if (was_next)
		it->next = NULL;
	placement_park(sup);
	if (sup->stopping)
		return;
	if (reload_has(sup, w->slot)) {
		/* Until its successor is ready; or until the reload comes to it, or is over. */
		if (!it->current)
			slot_set_run(sup, w->slot, it->next ? RPD_RUN_STARTING : RPD_RUN_BACKOFF);
		if (!it->next)
			reload_note_failed(sup, w->slot, w, NULL);
		return;
	}
	if (it->next) { /* another is under way already */
		slot_set_run(sup, w->slot, RPD_RUN_STARTING);
		return;
	}
	if (!slot_plan_of(sup, w->slot)->config.restart && !it->current) {
		slot_leave_empty(sup, w->slot, !w->exited || w->ended_badly);
		slot_start_waiting(sup);
		return;
	}
	slot_start_later(sup, w->slot, uptime);
	slot_start_waiting(sup);
}

/* It serves, and so is never given up; but a program whose every worker is too big, or not well, is
 * not started again and again without a pause. */
void slot_restart_worker(struct supervisor *sup, unsigned int slot, const char *why)
{
	struct slot *it = &sup->slots[slot];
	const struct run_config *config = &slot_plan_of(sup, slot)->config;
	int64_t uptime = clock_ns(CLOCK_MONOTONIC) - it->current->up_at, pause;
	char after[32] = "";

	if (it->next || it->timer || sup->stopping || reload_has(sup, slot))
		return;
	pause = restart_backoff_pause(config, uptime < REPLACED_SOON_NS ? 0 : uptime, &it->crashes);
	if (pause == RESTART_BACKOFF_NEVER) {
		it->crashes = config->max_restarts;
		pause = config->restart_delay + config->backoff_max;
	}
	if (pause)
		snprintf(after, sizeof(after), ", after %g s", (double)pause / NS_PER_S);
	supervisor_log(sup, "slot %u: %s: another is started to take its place%s", slot, why,
	               after);
	slot_start_after(sup, slot, pause);
}

static bool slot_others_are_well(const struct supervisor *sup, unsigned int slot)
{
	for (unsigned int other = 0; other < sup->n_slots; other++)
		if (other != slot && sup->slots[other].current &&
		    !sup->slots[other].current->unhealthy)
			return true;
	return false;
}

void slot_unhealthy(struct worker *w, const char *why)
{
	struct supervisor *sup = w->sup;
	struct slot *it = &sup->slots[w->slot];
	struct error err = {};

	if (it->current != w || reload_has(sup, w->slot) || sup->stopping)
		return;
	if (!slot_others_are_well(sup, w->slot)) { /* better than nobody, until there is another */
		slot_restart_worker(sup, w->slot, why);
		return;
	}
	supervisor_log(sup, "slot %u: %s: it gets no connections any more", w->slot, why);
	if (placement_withdraw(sup, w->slot, &err) < 0) {
		supervisor_log(sup, "%s", err.text);
		return;
	}
	it->current = NULL;
	w->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
	worker_event(w, WORKER_EVENT_RETIRE);
	if (it->next)
		slot_set_run(sup, w->slot, RPD_RUN_STARTING);
	else
		slot_start_later(sup, w->slot, clock_ns(CLOCK_MONOTONIC) - w->up_at);
}

void slot_check_unhealthy(struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct worker *w = sup->slots[slot].current;
		char why[64];

		if (!w || !w->unhealthy)
			continue;
		snprintf(why, sizeof(why), "pid %u is not well", w->pid);
		slot_unhealthy(w, why);
	}
}

int slot_stop(struct supervisor *sup, unsigned int slot, struct error *err)
{
	struct slot *it = &sup->slots[slot];
	struct worker *current = it->current;
	int r = current ? placement_withdraw(sup, slot, err) : 0;

	if (r < 0)
		return r;
	it->timer = sd_event_source_disable_unref(it->timer);
	it->current = NULL;
	it->ended = false;
	it->run = RPD_RUN_STOPPED;
	placement_note(sup, slot);
	if (it->next) {
		struct worker *next = it->next;

		it->next = NULL;
		worker_event(next, WORKER_EVENT_STOP);
	}
	if (current) {
		current->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
		worker_event(current, WORKER_EVENT_RETIRE);
	}
	placement_park(sup);
	return 0;
}

bool slot_any(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current)
			return true;
	return false;
}

bool slot_all_settled(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].run == RPD_RUN_STARTING ||
		    sup->slots[slot].run == RPD_RUN_BACKOFF)
			return false;
	return true;
}

int slot_scale(struct supervisor *sup, unsigned int n, struct error *err)
{
	unsigned int before = sup->n_slots;
	int r = 0;

	if (sup->reload || sup->stopping)
		return error_set(err, -EBUSY, "service '%s': workers are being replaced; try again",
		                 sup->name);
	for (unsigned int slot = n; r == 0 && slot < before; slot++)
		r = slot_stop(sup, slot, err);
	if (r == 0)
		r = placement_resize(sup, n, err);
	if (r < 0)
		return r;
	sup->n_slots = n;
	for (unsigned int slot = before; slot < n; slot++) {
		sup->slots[slot].run = RPD_RUN_STARTING;
		sup->slots[slot].crashes = 0;
		sup->slots[slot].proven = false;
		placement_note(sup, slot);
	}
	slot_start_waiting(sup);
	placement_park(sup);
	return 0;
}
