/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/health.h"

#include <stdio.h>

#include "kern/events.h"
#include "supervise/placement.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/slot.h"
#include "supervise/worker_probe.h"

static bool health_others_are_healthy(const struct supervisor *sup, unsigned int slot)
{
	for (unsigned int other = 0; other < sup->n_slots; other++)
		if (other != slot && sup->slots[other].current &&
		    !sup->slots[other].current->unhealthy)
			return true;
	return false;
}

/* If another worker is healthy, the worker leaves its slot at once. Does nothing during a reload of
 * its slot. */
static void health_replace_worker(struct worker *w, const char *why)
{
	struct supervisor *sup = w->sup;
	struct error err = {};

	if (sup->slots[w->slot].current != w || reload_state_has(sup, w->slot) || sup->stopping)
		return;
	if (!health_others_are_healthy(sup, w->slot)) {
		/* An unhealthy worker is better than none, until its replacement is ready. */
		slot_restart_worker(sup, w->slot, why);
		return;
	}
	report_line(sup, "slot %u: %s: it gets no new connection, and is replaced", w->slot, why);
	if (slot_retire(w, &err) < 0)
		report_line(sup, "%s", err.text);
}

void health_note_unhealthy(struct worker *w, const char *what, const char *why)
{
	char text[sizeof(w->why)];

	snprintf(text, sizeof(text), "pid %u is unhealthy (%s)", w->pid, why);
	if (!w->unhealthy) {
		w->unhealthy = true;
		if (service_is_open(&w->sup->service))
			events_note(&w->sup->service.steer, RPD_EVENT_unhealthy, w->slot, w->pid,
			            what);
		placement_note_why(w->sup, w->slot, text);
	}
	if (!w->sup->events->unhealthy(w, text))
		health_replace_worker(w, text);
}

/* A worker keeps its slot in spite of a failed probe if the others are no better, or during a
 * reload: the probes go on. */
static void health_on_probe(struct worker *w, bool ok, const char *why)
{
	const struct run_config *config = &w->plan->config;

	if (w->state != WORKER_UP)
		return;
	worker_probe_start_after(w, config->health_interval, health_on_probe);
	if (ok) {
		if (w->unhealthy && !w->is_left) {
			report_line(w->sup, "slot %u: pid %u is healthy again", w->slot, w->pid);
			placement_note_why(w->sup, w->slot, "");
		}
		w->probe_failures = 0;
		w->unhealthy = w->is_left;
		return;
	}
	if (!w->unhealthy)
		report_line(w->sup, "slot %u: pid %u: health probe %u of %u failed: %s", w->slot,
		            w->pid, ++w->probe_failures, config->health_failures, why);
	if (w->probe_failures < config->health_failures)
		return;
	health_note_unhealthy(w, "health probe failed", why);
}

void health_watch(struct worker *w)
{
	w->probe_failures = 0;
	w->unhealthy = w->is_left; /* it returns to its slot */
	if (w->plan->config.health_interval)
		worker_probe_start_after(w, w->plan->config.health_interval, health_on_probe);
}

void health_replace_unhealthy(struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct worker *w = sup->slots[slot].current;
		char why[64];

		if (!w || !w->unhealthy)
			continue;
		snprintf(why, sizeof(why), "pid %u is unhealthy", w->pid);
		health_replace_worker(w, why);
	}
}
