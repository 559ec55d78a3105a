/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/shutdown.h"

#include "base/clock.h"
#include "base/memory.h"
#include "service/drain_mark.h"
#include "supervise/deployment.h"
#include "supervise/dropped_address.h"
#include "supervise/due.h"
#include "supervise/log_link.h"
#include "supervise/parking.h"
#include "supervise/reload.h"
#include "supervise/report.h"
#include "supervise/supervisor_state.h"
#include "supervise/worker.h"

static void shutdown_ask_next(struct supervisor *sup)
{
	sup->leaving = true;
	due_now(sup, sup->on_stop);
}

static int shutdown_on_lame_duck_end(sd_event_source *source, uint64_t now, void *data)
{
	shutdown_ask_next(data);
	return 0;
}

/* Not in the service's turn: this changes nothing that needs the lock, which may be held. */
static void shutdown_begin_lame_duck(struct supervisor *sup)
{
	const int64_t time = sup->plan->config.lame_duck;
	struct error err = {};

	if (drain_mark_set(sup->name, &err) < 0)
		report_line(sup, "/ready can't answer that the service is draining: %s", err.text);
	report_line(sup, "draining: /ready answers 503; workers are stopped in %g s",
	            (double)time / NS_PER_S);
	memory_check(sd_event_add_time_relative(sup->all->loop, &sup->lame_duck, CLOCK_MONOTONIC,
	                                        time / 1000, 1000, shutdown_on_lame_duck_end, sup));
}

void shutdown_ask(struct supervisor *sup)
{
	if (sup->started && !sup->stopping && !sup->lame_duck && sup->plan->config.lame_duck &&
	    supervisor_state_has_worker(sup))
		shutdown_begin_lame_duck(sup);
	else
		shutdown_ask_next(sup);
}

/* @event: for each worker. */
static void shutdown_end_workers(struct supervisor *sup, enum worker_event event)
{
	struct worker *next;

	sup->leaving = sup->stopping = true;
	sup->lame_duck = sd_event_source_disable_unref(sup->lame_duck);
	reload_drop(sup);
	deployment_drop(sup);
	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	sup->start_pause = sd_event_source_disable_unref(sup->start_pause);
	sup->cron_timer = sd_event_source_disable_unref(sup->cron_timer);
	sup->clock_watch = sd_event_source_disable_unref(sup->clock_watch);
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++) {
		struct slot *it = &sup->slots[slot];

		it->timer = sd_event_source_disable_unref(it->timer);
		it->current = it->next = NULL;
	}
	dropped_address_end(sup);
	parking_close(&sup->parking);
	for (struct worker *w = sup->workers; w; w = next) {
		next = w->next;
		worker_event(w, event);
	}
	report_change(sup);
}

void shutdown_begin(struct supervisor *sup)
{
	const bool again = sup->stopping && !sup->draining;

	sup->draining = false;
	if (again && !sup->workers)
		log_link_kill(sup);
	else
		report_line(sup, again ? "killing the workers that are left" : "stopping");
	shutdown_end_workers(sup, again ? WORKER_EVENT_KILL : WORKER_EVENT_STOP);
}

void shutdown_advance(struct supervisor *sup)
{
	if (!sup->lame_duck) {
		shutdown_begin(sup);
		return;
	}
	report_line(sup, "waiting for the connections of the workers to end");
	sup->draining = true;
	shutdown_end_workers(sup, WORKER_EVENT_RETIRE);
}
