/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/supervisor.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/hook.h"
#include "service/service_lock.h"
#include "supervise/config_drift.h"
#include "supervise/control.h"
#include "supervise/control_request.h"
#include "supervise/guard.h"
#include "supervise/health.h"
#include "supervise/notify.h"
#include "supervise/park.h"
#include "supervise/parking.h"
#include "supervise/persisted_command.h"
#include "supervise/placement.h"
#include "supervise/plan.h"
#include "supervise/readiness.h"
#include "supervise/reload.h"
#include "supervise/report.h"
#include "supervise/setup.h"
#include "supervise/shutdown.h"
#include "supervise/slot.h"
#include "supervise/supervisor_state.h"
#include "supervise/takeover.h"
#include "supervise/timers.h"
#include "supervise/worker.h"
#include "supervise/worker_reports.h"

/* --- what happens to workers */

static int supervisor_admit(struct worker *w, struct error *err)
{
	struct supervisor *sup = w->sup;
	const unsigned int slot = w->slot;
	struct service *service = NULL;
	int r = service_lock(&sup->service, &service, err);

	/* One lock for all of it. */
	if (r == 0) {
		r = placement_admit(w, err);
		if (r == 0)
			slot_take(w);
		service_unlock(service);
	}
	if (r < 0)
		return r;
	reload_note_admitted(sup, slot);
	slot_start_waiting(sup);
	report_change(sup);
	health_watch(w);
	return 0;
}

static void supervisor_on_lost(struct worker *w)
{
	if (slot_lose(w) == SLOT_LOSS_RELOAD)
		reload_note_failed(w->sup, w->slot, w, NULL);
}

static void supervisor_on_gone(const struct worker *w)
{
	reload_note_gone(w->sup, w);
}

static const struct worker_events supervisor_events = {
        .may_be_ready = readiness_check,
        .admit = supervisor_admit,
        .lost = supervisor_on_lost,
        .gone = supervisor_on_gone,
};

/* --- changes, and the end */

/* A service that has failed stays until all services have failed, so that it can be started again.
 */
static void supervisor_check_others(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->all->n; i++)
		if (sup->all->list[i] != sup && !sup->all->list[i]->ended)
			report_change(sup->all->list[i]);
}

static void supervisor_end(struct supervisor *sup)
{
	sup->status = supervisor_state_has_failed_slot(sup) ? EXIT_REFUSED : EXIT_OK;
	report_line(sup, "stopped");
	setup_remove(sup);
	sup->ended = true;
	supervisor_check_others(sup);
}

static void supervisor_announce(struct supervisor *sup)
{
	sup->announced = true;
	report_line(sup, "started: %u worker%s", sup->n_slots, sup->n_slots == 1 ? "" : "s");
}

static int supervisor_on_change(sd_event_source *source, void *data)
{
	struct supervisor *sup = data;

	control_answer_settled(sup);
	if (sup->stopping && !sup->workers) {
		supervisor_end(sup);
		return 0;
	}
	timers_update(sup);
	if (!sup->stopping && supervisor_state_is_finished(sup)) {
		if (!sup->nothing_left)
			report_line(sup, "all slots have failed or are stopped");
		sup->nothing_left = sup->announced = true;
		if (supervisor_state_has_work(sup) &&
		    sup->plan->config.restart) /* jobs that are not restarted have finished */
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

/* --- the beginning */

int supervisor_start(struct supervisor *sup, struct error *err)
{
	bool taken;
	int r = setup_make(sup, &taken, err);

	if (r >= 0)
		r = worker_reports_watch_hook(sup, err);
	if (r >= 0)
		r = worker_reports_open_notify(sup, &sup->plan->config, err);
	if (r >= 0)
		r = control_new(sup, control_request_handle, &sup->control, err);
	if (r >= 0)
		r = guard_new(sup, &sup->guard, err);
	if (r >= 0)
		r = sd_event_add_defer(sup->loop, &sup->on_change, supervisor_on_change, sup);
	if (r >= 0 && !taken)
		persisted_command_forget(sup); /* left by an earlier service of this name */
	if (r >= 0 && taken)
		r = takeover(sup, err);
	if (r >= 0 && taken && !sup->request->stop)
		r = config_drift_report(sup, err);
	if (r < 0)
		return r;
	if (sup->request->stop) {
		shutdown_begin(sup);
		return 0;
	}
	if (!taken)
		placement_note_all_runs(sup);
	slot_start_waiting(sup);
	park_update(sup);
	timers_update(sup);
	return 0;
}

struct supervisor *supervisor_new(const struct supervisors *all,
                                  const struct supervisor_request *request)
{
	struct supervisor *sup = calloc(1, sizeof(*sup));

	if (!sup)
		return NULL;
	sup->loop = all->loop;
	sup->request = request;
	sup->all = all;
	sup->events = &supervisor_events;
	sup->cgroup_fd = -1;
	sup->plan = plan_new(request->config);
	if (!sup->plan) {
		free(sup);
		return NULL;
	}
	memcpy(sup->name, request->config->service, sizeof(sup->name));
	service_init(&sup->service);
	parking_init(&sup->parking);
	sup->n_slots = request->config->workers;
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		sup->slots[slot] = (struct slot){.sup = sup, .number = slot};
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		sup->slots[slot].run = RPD_RUN_STARTING;
	return sup;
}

void supervisor_free(struct supervisor *sup)
{
	reload_drop(sup);
	while (sup->workers)
		worker_forget(sup->workers, false);
	sd_event_source_disable_unref(sup->on_hook);
	sd_event_source_disable_unref(sup->on_change);
	sd_event_source_disable_unref(sup->park_timer);
	sd_event_source_disable_unref(sup->check_timer);
	sd_event_source_disable_unref(sup->cron_timer);
	guard_free(sup->guard);
	hook_free(sup->hook);
	notify_free(sup->notify);
	control_free(sup->control, sup->status, NULL);
	parking_close(&sup->parking);
	service_close(&sup->service);
	cleanup_close(&sup->cgroup_fd);
	plan_unref(sup->cron_plan);
	plan_unref(sup->plan);
	free(sup);
}
