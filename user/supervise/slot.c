/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/slot.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/memory.h"
#include "core/ready_rule.h"
#include "core/restart_backoff.h"
#include "supervise/control.h"
#include "supervise/endpoints.h"
#include "supervise/log_link.h"
#include "supervise/oom_offer.h"
#include "supervise/park.h"
#include "supervise/placement.h"
#include "supervise/readiness.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/socket_rival.h"
#include "supervise/supervisor_state.h"
#include "supervise/worker.h"
#include "supervise/worker_listeners.h"
#include "supervise/worker_start.h"

/* A worker that has to be replaced this soon counts as crashed. */
#define REPLACED_SOON_NS (60 * NS_PER_S)

/* After a start that took this long, a service starts no worker for so many times as long, if there
 * are other services. */
#define START_SLOW_NS (NS_PER_S / 20)
#define START_PAUSE   4

/* If no port is named, the addresses that the first worker doesn't share with the others are known
 * when it is up: it starts alone. */
static bool slot_may_start(const struct supervisor *sup)
{
	const struct run_config *config = &sup->plan->config;
	const bool alone =
	        !sup->was_up && !config->n_listens && !ready_rule_allows_no_listener(config);

	return !sup->start_pause &&
	       supervisor_state_n_starting(sup) < (alone ? 1 : sup->start_limit.now);
}

static int slot_on_start_pause_over(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;

	sup->start_pause = sd_event_source_disable_unref(sup->start_pause);
	slot_start_waiting(sup);
	return 0;
}

/* A user can delay how its programs are executed (spawn.c), and other services wait meanwhile: the
 * starts of a service get a part of the time. @took: how long one has taken, ns. */
static void slot_note_start(struct supervisor *sup, int64_t took)
{
	if (took < START_SLOW_NS || sup->all->n == 1 || sup->start_pause)
		return;
	memory_check(sd_event_add_time_relative(sup->loop, &sup->start_pause, CLOCK_MONOTONIC,
	                                        START_PAUSE * took / 1000, 1000,
	                                        slot_on_start_pause_over, sup));
}

static void slot_set_run(struct supervisor *sup, unsigned int slot, enum rpd_run run)
{
	if (sup->slots[slot].run == run)
		return;
	sup->slots[slot].run = run;
	placement_note_run(sup, slot);
}

static struct plan *slot_get_plan(struct supervisor *sup, unsigned int slot)
{
	return sup->slots[slot].plan ? sup->slots[slot].plan : sup->plan;
}

static void slot_arm(struct slot *it, int64_t pause);

static int slot_on_pause_over(sd_event_source *source, uint64_t now, void *data)
{
	struct slot *it = data;

	it->timer = sd_event_source_disable_unref(it->timer);
	if (it->current && it->sup->events->replace_in_place(it->sup, it->number))
		return 0;
	/* Otherwise slot_start_waiting() starts the slot when another worker is ready. */
	if (it->current && it->sup->start_pause)
		slot_arm(it, START_SLOW_NS);
	else if (slot_may_start(it->sup) || it->current)
		slot_start(it->sup, it->number);
	return 0;
}

static void slot_arm(struct slot *it, int64_t pause)
{
	memory_check(sd_event_add_time_relative(it->sup->loop, &it->timer, CLOCK_MONOTONIC,
	                                        pause / 1000, 1000, slot_on_pause_over, it));
}

void slot_leave(struct supervisor *sup, unsigned int slot, enum rpd_run run, bool ended)
{
	sup->slots[slot].ended = ended;
	slot_set_run(sup, slot, run);
	report_change(sup);
}

/* Its worker is not restarted; a job may have finished. @why: the option that says so. */
static void slot_leave_empty(struct supervisor *sup, unsigned int slot, bool failed,
                             const char *why)
{
	report_line(sup, "slot %u: %s; not started again (%s)", slot, failed ? "failed" : "stopped",
	            why);
	slot_leave(sup, slot, failed ? RPD_RUN_FAILED : RPD_RUN_STOPPED, true);
}

static void slot_give_up(struct supervisor *sup, unsigned int slot, const char *why)
{
	const struct slot *it = &sup->slots[slot];

	if (it->current) {
		report_line(sup, "slot %u: pid %u stays, because it could not be replaced: %s",
		            slot, it->current->pid, why);
		return;
	}
	slot_leave(sup, slot, RPD_RUN_FAILED, it->ended);
	if (supervisor_state_has_work(sup))
		report_line(sup, "slot %u: failed: %s; `reuseportd start %s %u` tries again", slot,
		            why, sup->name, slot);
	else
		report_line(sup, "slot %u: failed: %s", slot, why);
}

static void slot_start_after(struct supervisor *sup, unsigned int slot, int64_t pause)
{
	struct slot *it = &sup->slots[slot];

	it->restarts++;
	if (!it->current)
		it->run = RPD_RUN_BACKOFF;
	placement_note_run(sup, slot);
	slot_arm(it, pause);
}

void slot_start_later(struct supervisor *sup, unsigned int slot, int64_t uptime)
{
	struct slot *it = &sup->slots[slot];
	const struct run_config *config = &slot_get_plan(sup, slot)->config;
	int64_t pause = restart_backoff_pause(config, uptime, &it->crashes);

	it->timer = sd_event_source_disable_unref(it->timer);
	if (pause == RESTART_BACKOFF_NEVER) {
		char why[64];

		if (it->crashes > 1)
			snprintf(why, sizeof(why), "%u crashes in a row", it->crashes);
		else
			snprintf(why, sizeof(why), "its worker has crashed");
		slot_give_up(sup, slot, why);
		return;
	}
	slot_start_after(sup, slot, pause);
}

int slot_try_start(struct supervisor *sup, unsigned int slot, struct error *err)
{
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	struct slot *it = &sup->slots[slot];
	struct error why = {};
	int r;

	if (it->next || sup->stopping)
		return 0;
	it->timer = sd_event_source_disable_unref(it->timer);
	it->ended = false;
	r = worker_start(sup, slot, slot_get_plan(sup, slot), &it->next, &why);
	slot_note_start(sup, clock_ns(CLOCK_MONOTONIC) - begin);
	if (r < 0) {
		report_line(sup, "slot %u: %s", slot, why.text);
		if (!it->current)
			placement_note_why(sup, slot, why.text);
		return error_set(err, r, "%s", why.text);
	}
	if (!it->current)
		slot_set_run(sup, slot, RPD_RUN_STARTING);
	readiness_check(it->next);
	return 0;
}

void slot_start(struct supervisor *sup, unsigned int slot)
{
	struct slot *it = &sup->slots[slot];
	struct error ignored;

	if (slot_try_start(sup, slot, &ignored) == 0)
		return;
	if (!slot_get_plan(sup, slot)->config.restart && !it->current)
		slot_leave_empty(sup, slot, true, "no-restart");
	else if (it->proven)
		slot_start_later(sup, slot, 0);
	else /* a command that could never be started will not start later */
		slot_give_up(sup, slot, "its worker can't be started");
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
	for (unsigned int slot = 0; slot < sup->n_slots && slot_may_start(sup); slot++) {
		struct slot *it = &sup->slots[slot];

		if (!it->current && !it->next && !it->timer && !sup->stopping &&
		    !reload_state_has(sup, slot) &&
		    (it->run == RPD_RUN_STARTING || it->run == RPD_RUN_BACKOFF))
			slot_start(sup, slot);
	}
}

void slot_ask_start(struct supervisor *sup, unsigned int slot)
{
	struct slot *it = &sup->slots[slot];

	it->crashes = 0;
	it->proven = false;
	it->timer = sd_event_source_disable_unref(it->timer); /* not after the pause */
	it->run = RPD_RUN_STARTING;
	placement_note_run(sup, slot);
}

void slot_take(struct worker *w)
{
	struct supervisor *sup = w->sup;
	struct slot *it = &sup->slots[w->slot];
	struct worker *old = it->current;

	w->up_at = clock_ns(CLOCK_MONOTONIC);
	w->withdrawn_at = 0;
	it->timer = sd_event_source_disable_unref(it->timer);
	if (it->next == w)
		it->next = NULL;
	it->current = w;
	w->is_first = !it->proven;
	it->proven = true;
	it->run = RPD_RUN_UP;
	placement_note_run(sup, w->slot);
	start_limit_note_ready(&sup->start_limit);
	oom_offer_end(w);
	report_line(
	        sup, "slot %u: pid %u %s%s", w->slot, w->pid,
	        worker_listeners_has_any(w) ? "takes connections"
	        : w->n_addresses
	                ? "listens where most workers don't: it is run and supervised, not steered"
	                : "listens on nothing: it is run and supervised, not steered",
	        old && old != w ? ", in place of the old worker" : "");
	if (old && old != w) {
		old->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
		worker_event(old, reload_state_holds(sup, w->slot) ? WORKER_EVENT_HOLD
		                                                   : WORKER_EVENT_RETIRE);
	}
	if (!sup->was_up)
		endpoints_note_private(w, false);
	park_update(sup);
}

static void slot_report_loss(struct worker *w, bool was_up)
{
	const char *tail = was_up ? "" : log_link_tail(w);
	char why[sizeof(w->why) + 32];

	if (!was_up)
		socket_rival_note(w, tail);
	if (was_up && !w->in_background)
		snprintf(why, sizeof(why), "pid %u has ended (%s)", w->pid,
		         w->end[0] ? w->end : "its exit status is unknown");
	else
		snprintf(why, sizeof(why), "pid %u %s", w->pid, w->why);
	report_line(w->sup, "slot %u: %s", w->slot, why);
	if (was_up || !w->sup->slots[w->slot].current)
		placement_note_why(w->sup, w->slot, why);
	if (!was_up && tail[0] && !reload_state_prints_output(w->sup, w->slot)) {
		char text[4096];

		/* Only for commands that wait: the log, or a file, has the worker's output already.
		 */
		snprintf(text, sizeof(text), "slot %u: its last lines were:\n%s", w->slot, tail);
		control_send_line(w->sup, text);
	}
}

/* Leaves the slot of a worker that has ended without a worker, if the worker is not to be started
 * again. Returns whether it did so. */
static bool slot_leave_for_good(const struct worker *w)
{
	struct supervisor *sup = w->sup;
	const bool stops = run_config_stops_at(&w->plan->config, w->end_status);

	if (!stops && slot_get_plan(sup, w->slot)->config.restart)
		return false;
	slot_leave_empty(sup, w->slot, !stops && (!w->exited || w->end_status > 0),
	                 stops ? "stop-exit-codes" : "no-restart");
	return true;
}

/* Whether the worker has done what it was started for. */
static bool slot_has_finished(const struct worker *w)
{
	return !w->in_background && (run_config_stops_at(&w->plan->config, w->end_status) ||
	                             (!w->plan->config.restart && w->end_status == 0));
}

/* For restart_backoff.h. Where life alone makes a worker ready, as in PM2, its whole life counts.
 */
static int64_t slot_uptime(const struct worker *w)
{
	const int64_t since = w->plan->config.alive_after ? w->started_at : w->up_at;

	return since ? clock_ns(CLOCK_MONOTONIC) - since : 0;
}

static void slot_note_late(const struct worker *w)
{
	struct start_limit *limit = &w->sup->start_limit;

	if (w->late && w->sup->n_slots > 1 && !reload_state_has(w->sup, w->slot) &&
	    start_limit_note_late(limit, w->started_at, clock_ns(CLOCK_MONOTONIC)))
		report_line(
		        w->sup,
		        "workers were not ready in time (--ready-timeout %g s): at most %u start "
		        "at the same time from now on",
		        (double)w->plan->config.ready_timeout / NS_PER_S, limit->now);
}

/* Why the next worker would fail in the same way, or NULL: it may not. */
static const char *slot_why_in_vain(const struct worker *w)
{
	if (w->in_background)
		return "its worker went to the background";
	return w->has_duplicates ? "its worker has several listeners on an endpoint" : NULL;
}

enum slot_loss slot_lose(struct worker *w)
{
	struct supervisor *sup = w->sup;
	struct slot *it = &sup->slots[w->slot];
	bool was_current = it->current == w, was_next = it->next == w;
	int64_t uptime = slot_uptime(w);

	if (!was_current && !was_next)
		return SLOT_LOSS_DONE;
	slot_report_loss(w, was_current);
	slot_note_late(w);
	if (was_current)
		it->current = NULL;
	if (was_next)
		it->next = NULL;
	park_update(sup);
	if (sup->stopping)
		return SLOT_LOSS_DONE;
	if (reload_state_has(sup, w->slot)) {
		/* A job. If there is an old worker, the new one should have served. */
		if (!it->current && !it->next && !supervisor_state_held_worker(sup, w->slot) &&
		    slot_has_finished(w)) {
			slot_leave_for_good(w);
			return SLOT_LOSS_FINISHED;
		}
		/* The slot stays empty until its new worker is ready or the reload ends. */
		if (!it->current)
			slot_set_run(sup, w->slot, it->next ? RPD_RUN_STARTING : RPD_RUN_BACKOFF);
		return it->next ? SLOT_LOSS_DONE : SLOT_LOSS_RELOAD;
	}
	if (it->next) { /* another worker is starting */
		slot_set_run(sup, w->slot, RPD_RUN_STARTING);
		return SLOT_LOSS_DONE;
	}
	if (slot_why_in_vain(w))
		slot_give_up(sup, w->slot, slot_why_in_vain(w));
	else if (it->current || !slot_leave_for_good(w))
		slot_start_later(sup, w->slot, uptime);
	slot_start_waiting(sup);
	return SLOT_LOSS_DONE;
}

/* The slot is never given up, because its worker serves or has served. But if all workers of a
 * program grow too big or become unhealthy, it is not started again and again without a pause.
 * @uptime: of the worker that is replaced. */
static int64_t slot_replacement_pause(struct supervisor *sup, unsigned int slot, int64_t uptime)
{
	struct slot *it = &sup->slots[slot];
	const struct run_config *config = &slot_get_plan(sup, slot)->config;
	const int64_t pause =
	        restart_backoff_pause(config, uptime < REPLACED_SOON_NS ? 0 : uptime, &it->crashes);

	if (pause != RESTART_BACKOFF_NEVER)
		return pause;
	it->crashes = config->max_restarts;
	return config->restart_delay + config->backoff_max;
}

void slot_restart_worker(struct supervisor *sup, unsigned int slot, const char *why)
{
	struct slot *it = &sup->slots[slot];
	char after[32] = "";
	int64_t pause;

	if (it->next || it->timer || sup->stopping || reload_state_has(sup, slot))
		return;
	pause = slot_replacement_pause(sup, slot, clock_ns(CLOCK_MONOTONIC) - it->current->up_at);
	if (pause)
		snprintf(after, sizeof(after), " after %g s", (double)pause / NS_PER_S);
	report_line(sup, "slot %u: %s: it is replaced%s", slot, why, after);
	slot_start_after(sup, slot, pause);
}

int slot_vacate(struct supervisor *sup, unsigned int slot, enum worker_event event,
                struct error *err)
{
	struct worker *w = sup->slots[slot].current;
	int r = w ? placement_withdraw(sup, slot, err) : 0;

	if (r < 0 || !w)
		return r;
	sup->slots[slot].current = NULL;
	w->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
	worker_event(w, event);
	return 0;
}

int slot_retire(struct worker *w, struct error *err)
{
	struct supervisor *sup = w->sup;
	int r = slot_vacate(sup, w->slot, WORKER_EVENT_RETIRE, err);

	if (r < 0)
		return r;
	if (sup->slots[w->slot].next)
		slot_set_run(sup, w->slot, RPD_RUN_STARTING);
	else
		slot_start_after(sup, w->slot,
		                 slot_replacement_pause(sup, w->slot, w->withdrawn_at - w->up_at));
	return 0;
}

int slot_stop(struct supervisor *sup, unsigned int slot, struct error *err)
{
	struct slot *it = &sup->slots[slot];
	int r = slot_vacate(sup, slot, WORKER_EVENT_RETIRE, err);

	if (r < 0)
		return r;
	it->timer = sd_event_source_disable_unref(it->timer);
	it->ended = false;
	it->run = RPD_RUN_STOPPED;
	placement_note_run(sup, slot);
	placement_note_why(sup, slot, "");
	if (it->next) {
		struct worker *next = it->next;

		it->next = NULL;
		worker_event(next, WORKER_EVENT_STOP);
	}
	park_update(sup);
	return 0;
}

int slot_scale(struct supervisor *sup, unsigned int n, struct error *err)
{
	unsigned int before = sup->n_slots;
	int r = 0;

	if (sup->stopping)
		return error_set(err, -EBUSY, "service '%s' is being stopped", sup->name);
	for (unsigned int slot = n; r == 0 && slot < before; slot++)
		r = slot_stop(sup, slot, err);
	if (r == 0)
		r = placement_resize(sup, n, err);
	if (r < 0)
		return r;
	sup->n_slots = n;
	for (unsigned int slot = before; slot < n; slot++)
		slot_ask_start(sup, slot);
	slot_start_waiting(sup);
	park_update(sup);
	return 0;
}
