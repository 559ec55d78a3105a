/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/shutdown.h"

#include "supervise/deployment.h"
#include "supervise/dropped_address.h"
#include "supervise/due.h"
#include "supervise/log_link.h"
#include "supervise/parking.h"
#include "supervise/reload.h"
#include "supervise/report.h"
#include "supervise/worker.h"

void shutdown_ask(struct supervisor *sup)
{
	sup->leaving = true;
	due_now(sup, sup->on_stop);
}

void shutdown_begin(struct supervisor *sup)
{
	bool again = sup->stopping;
	struct worker *next;

	sup->leaving = sup->stopping = true;
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
	if (again && !sup->workers)
		log_link_kill(sup);
	else
		report_line(sup, again ? "killing the workers that are left" : "stopping");
	dropped_address_end(sup);
	parking_close(&sup->parking);
	for (struct worker *w = sup->workers; w; w = next) {
		next = w->next;
		worker_event(w, again ? WORKER_EVENT_KILL : WORKER_EVENT_STOP);
	}
	report_change(sup);
}
