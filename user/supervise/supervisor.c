/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/supervisor.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/slots.h"
#include "kern/cpu_count.h"
#include "kern/guard.h"
#include "kern/hook.h"
#include "kern/steer_setup.h"
#include "service/drain_mark.h"
#include "service/service_create.h"
#include "service/service_supervisor.h"
#include "supervise/config_drift.h"
#include "supervise/control.h"
#include "supervise/control_request.h"
#include "supervise/deployment.h"
#include "supervise/deployment_note.h"
#include "supervise/deployment_resume.h"
#include "supervise/deployment_return.h"
#include "supervise/dropped_address.h"
#include "supervise/due.h"
#include "supervise/endpoints.h"
#include "supervise/former.h"
#include "supervise/health.h"
#include "supervise/log_link.h"
#include "supervise/log_watch.h"
#include "supervise/notify.h"
#include "supervise/park.h"
#include "supervise/parking.h"
#include "supervise/persisted_command.h"
#include "supervise/placement.h"
#include "supervise/plan.h"
#include "supervise/priority.h"
#include "supervise/readiness.h"
#include "supervise/reload.h"
#include "supervise/remake.h"
#include "supervise/report.h"
#include "supervise/service_cgroup.h"
#include "supervise/setup.h"
#include "supervise/shutdown.h"
#include "supervise/slot.h"
#include "supervise/steering_check.h"
#include "supervise/supervisor_state.h"
#include "supervise/takeover.h"
#include "supervise/timers.h"
#include "supervise/worker.h"
#include "supervise/worker_listeners.h"
#include "supervise/worker_reports.h"

/* --- what happens to workers */

static int supervisor_admit(struct worker *w, struct error *err)
{
	struct supervisor *sup = w->sup;
	const unsigned int slot = w->slot;
	int r = placement_admit(w, err);

	if (r != PLACEMENT_ADMITTED)
		return r;
	slot_take(w);
	reload_note_done(sup, slot);
	slot_start_waiting(sup);
	report_change(sup);
	health_watch(w);
	return 0;
}

/* Meanwhile no probe needs a listener of it. */
static bool supervisor_stands_by(struct worker *w)
{
	if (!reload_note_ready(w->sup, w->slot))
		return false;
	placement_close_to_probes(w);
	return true;
}

static bool supervisor_on_unhealthy(struct worker *w, const char *why)
{
	return deployment_note_unhealthy(w->sup, w->slot, why);
}

/* It may have opened its listener again. */
static void supervisor_on_left(struct worker *w)
{
	struct error err = {};

	if (placement_note_main(w, &err) < 0)
		report_line(w->sup, "%s", err.text);
	worker_listeners_ask_look(w);
	health_note_unhealthy(w, "background",
	                      "it is in the background; use the program's foreground option");
}

static void supervisor_on_lost(struct worker *w)
{
	switch (slot_lose(w)) {
	case SLOT_LOSS_DONE:
		break;
	case SLOT_LOSS_RELOAD:
		reload_note_failed(w->sup, w->slot, w, NULL);
		break;
	case SLOT_LOSS_FINISHED:
		reload_note_done(w->sup, w->slot);
		break;
	}
}

static bool supervisor_replace_in_place(struct supervisor *sup, unsigned int slot)
{
	const struct reload_ways ways = reload_ways_of(sup, &sup->plan->config);
	const struct slots one = {.n = 1, .at = {slot}};
	struct error err = {};

	if (ways.in_place && reload_begin(sup, &one, sup->plan, &ways, &err) < 0)
		report_line(sup, "slot %u: not replaced yet: %s", slot, err.text);
	return ways.in_place;
}

static void supervisor_on_gone(const struct worker *w)
{
	reload_note_gone(w->sup, w);
}

static const struct worker_events supervisor_events = {
        .may_be_ready = readiness_check,
        .read_rest = worker_reports_read_rest,
        .confirm = readiness_confirm,
        .stands_by = supervisor_stands_by,
        .unhealthy = supervisor_on_unhealthy,
        .left = supervisor_on_left,
        .admit = supervisor_admit,
        .lost = supervisor_on_lost,
        .replace_in_place = supervisor_replace_in_place,
        .gone = supervisor_on_gone,
};

/* --- changes, and the end */

/* A service that has failed stays until no service has work, so that it can be started again. So
 * does a job that is done, so that no later supervisor runs it again. */
static void supervisor_check_others(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->all->n; i++)
		if (sup->all->list[i] != sup && !sup->all->list[i]->ended)
			report_change(sup->all->list[i]);
}

/* The events of its cgroup would come for ever after the cgroup is removed. */
static void supervisor_close_log(struct supervisor *sup)
{
	log_link_free(sup->log);
	log_watch_close(sup);
	sup->log = NULL;
}

void supervisor_end(struct supervisor *sup)
{
	sup->status = supervisor_state_has_failed_slot(sup) ? EXIT_REFUSED : EXIT_OK;
	report_line(sup, "stopped");
	supervisor_close_log(sup);
	setup_remove(sup);
	sup->ended = true;
	supervisor_check_others(sup);
}

static void supervisor_announce(struct supervisor *sup)
{
	struct slots failed = {}, stopped = {};
	unsigned int n = 0;
	char list[64];

	sup->announced = true;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		const enum rpd_run run = sup->slots[slot].run;

		n += run == RPD_RUN_UP;
		if (run == RPD_RUN_FAILED)
			failed.at[failed.n++] = slot;
		else if (run == RPD_RUN_STOPPED)
			stopped.at[stopped.n++] = slot;
	}
	if (n == sup->n_slots)
		report_line(sup, "started: %u worker%s", n, n == 1 ? "" : "s");
	else if (failed.n)
		report_line(sup, "started: %u of %u workers; slot %s failed", n, sup->n_slots,
		            slots_format(&failed, list, sizeof(list)));
	else
		report_line(sup, "started: %u of %u workers; slot %s has stopped", n, sup->n_slots,
		            slots_format(&stopped, list, sizeof(list)));
}

static int supervisor_on_change(sd_event_source *source, void *data)
{
	struct supervisor *sup = data;

	control_answer_settled(sup);
	if (sup->stopping && !sup->workers && !sup->ending_since) {
		if (log_link_end(sup))
			sup->ending_since = clock_ns(CLOCK_MONOTONIC);
		return 0;
	}
	former_limit(sup);
	deployment_return_unasked(sup);
	timers_update(sup);
	if (!sup->stopping && supervisor_state_is_finished(sup)) {
		if (!sup->nothing_left)
			report_line(sup, "all slots have failed or are stopped");
		sup->nothing_left = sup->announced = true;
		if (supervisor_state_has_work(sup))
			return 0;
		shutdown_begin(sup);
		supervisor_check_others(sup);
		return 0;
	}
	sup->nothing_left = false;
	if (!sup->announced && !sup->stopping && supervisor_state_is_settled(sup))
		supervisor_announce(sup);
	if (sup->announced && !sup->reload)
		malloc_trim(0); /* the start has needed more memory than the service will need */
	return 0;
}

/* --- signals */

static int supervisor_on_stop(sd_event_source *source, void *data)
{
	shutdown_advance(data);
	return 0;
}

static int supervisor_on_reload(sd_event_source *source, void *data)
{
	struct supervisor *sup = data;
	struct error err = {};

	if (reload_queue(sup) || control_request_reload(sup, &err) == 0)
		return 0;
	report_line(sup, "%s", err.text);
	control_answer_reload(sup, err.status, err.text, NULL);
	return 0;
}

/* Sources that only become due when another part of the process says so. */
static int supervisor_add_sources(struct supervisor *sup)
{
	int r = due_new(sup, SD_EVENT_PRIORITY_NORMAL, supervisor_on_change, sup, &sup->on_change);

	if (r == 0)
		r = due_new(sup, PRIORITY_SIGNAL, supervisor_on_stop, sup, &sup->on_stop);
	if (r == 0)
		r = due_new(sup, PRIORITY_RELOAD, supervisor_on_reload, sup, &sup->on_reload);
	return r;
}

/* --- the beginning */

/* Without a service of this name there is nothing to take over. */
static int supervisor_start_new(struct supervisor *sup)
{
	/* Left by an earlier service of this name: */
	persisted_command_forget(sup);
	deployment_note_forget(sup);
	log_link_note_former_gone(sup);
	placement_note_all_runs(sup);
	return 0;
}

static int supervisor_take_over(struct supervisor *sup, struct error *err)
{
	int r = takeover(sup, err);

	if (r == 0 && !sup->request->stop)
		r = config_drift_report(sup, err);
	if (r == 0)
		deployment_resume(sup);
	return r;
}

int supervisor_start(struct supervisor *sup, struct error *err)
{
	int r, taken = setup_make(sup, err);

	if (taken == SERVICE_CREATE_LATER)
		return SUPERVISOR_START_LATER;
	r = taken;
	if (r >= 0)
		r = log_link_open(sup, err);
	if (r >= 0)
		r = worker_reports_watch_hook(sup, err);
	if (r >= 0)
		r = steering_check_begin(sup, err);
	if (r >= 0)
		r = worker_reports_open_notify(sup, &sup->plan->config, err);
	if (r >= 0)
		r = control_new(sup, control_request_handle, &sup->control, err);
	if (r >= 0)
		r = remake_new(sup, &sup->remake, err);
	if (r >= 0)
		r = taken == SERVICE_TAKEN_OVER ? supervisor_take_over(sup, err)
		                                : supervisor_start_new(sup);
	if (r < 0)
		return r;
	drain_mark_clear(sup->name, NULL); /* of a supervisor that was killed in its lame duck */
	sup->started = true;
	due_now(sup, sup->on_change);
	if (sup->request->stop) {
		shutdown_begin(sup);
		return SUPERVISOR_STARTED;
	}
	/* The address is not known before a worker listens. */
	if (!steer_count_endpoints(&sup->service.steer))
		r = steer_setup_prepare(&sup->service.steer, err);
	if (r < 0)
		return r;
	slot_start_waiting(sup);
	park_update(sup);
	timers_update(sup);
	return SUPERVISOR_STARTED;
}

static void supervisor_free_loop(struct supervisor *sup)
{
	sd_event_source_disable_unref(sup->on_change);
	sd_event_source_disable_unref(sup->on_stop);
	sd_event_source_disable_unref(sup->on_reload);
	sd_event_unref(sup->loop);
}

/* Closes all that belongs to the service. Its workers and steering go on, and another supervisor
 * can take it over. */
static void supervisor_leave(struct supervisor *sup)
{
	reload_drop(sup);
	deployment_drop(sup);
	while (sup->workers)
		worker_forget(sup->workers);
	share_deinit(&sup->listens);
	share_deinit(&sup->looks);
	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	sup->start_pause = sd_event_source_disable_unref(sup->start_pause);
	sup->check_timer = sd_event_source_disable_unref(sup->check_timer);
	sup->cron_timer = sd_event_source_disable_unref(sup->cron_timer);
	sup->clock_watch = sd_event_source_disable_unref(sup->clock_watch);
	sup->lame_duck = sd_event_source_disable_unref(sup->lame_duck);
	remake_free(sup->remake);
	sup->remake = NULL;
	steering_check_end(sup);
	supervisor_close_log(sup);
	hook_free(sup->hook);
	sup->hook = NULL;
	guard_free(sup->guard);
	sup->guard = NULL;
	notify_free(sup->notify);
	sup->notify = NULL;
	control_free(sup->control, sup->status, NULL);
	sup->control = NULL;
	dropped_address_end(sup);
	parking_close(&sup->parking);
	service_supervisor_resign(&sup->service);
	service_close(&sup->service);
	cleanup_close(&sup->cgroup_fd);
	sup->cgroup_fd = -1;
}

void supervisor_undo(struct supervisor *sup)
{
	if (sup->ended)
		return;
	if (sup->made) {
		service_cgroup_clear(sup);
		while (sup->workers)
			worker_forget(sup->workers);
		supervisor_close_log(sup);
		setup_remove(sup);
	} else {
		supervisor_leave(sup);
	}
	sup->ended = true;
	supervisor_check_others(sup);
}

struct supervisor *supervisor_new(const struct supervisors *all,
                                  const struct supervisor_request *request)
{
	struct supervisor *sup = calloc(1, sizeof(*sup));

	if (!sup)
		return NULL;
	sup->request = request;
	sup->all = all;
	sup->events = &supervisor_events;
	sup->cgroup_fd = -1;
	sup->plan = plan_new(request->config);
	if (!sup->plan || sd_event_new(&sup->loop) < 0 || supervisor_add_sources(sup) < 0) {
		supervisor_free_loop(sup);
		plan_unref(sup->plan);
		free(sup);
		return NULL;
	}
	memcpy(sup->name, request->config->service, sizeof(sup->name));
	service_init(&sup->service);
	parking_init(&sup->parking);
	start_limit_init(&sup->start_limit, cpu_count());
	sup->n_slots = request->config->workers;
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		sup->slots[slot] = (struct slot){.sup = sup, .number = slot};
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		sup->slots[slot].run = RPD_RUN_STARTING;
	return sup;
}

void supervisor_free(struct supervisor *sup)
{
	supervisor_leave(sup);
	plan_unref(sup->cron_plan);
	plan_unref(sup->plan);
	supervisor_free_loop(sup);
	free(sup);
}
