/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens in time: looks at who drains and at how much memory each has, and cron's restarts.
 */
#include <stdio.h>
#include <time.h>

#include "core/cron.h"
#include "supervise/types.h"
#include "kern/cgroup.h"

static bool timers_wants_memory_looks(const struct supervisor *sup)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->plan->config.max_memory)
			return true;
	return false;
}

static bool timers_has_draining(const struct supervisor *sup)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->state == WORKER_DRAINING)
			return true;
	return false;
}

/* A worker that had the slot before is still there: for another one there may be no room. */
static bool timers_is_left(const struct supervisor *sup, unsigned int slot)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->slot == slot && w->state >= WORKER_DRAINING)
			return true;
	return false;
}

static void timers_look_at_memory(struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct worker *w = sup->slots[slot].current;
		uint64_t max = w ? w->plan->config.max_memory : 0;
		uint64_t is = max ? cgroup_measure_memory(w->cgroup_fd) : 0;
		char why[128];

		if (is <= max || timers_is_left(sup, slot))
			continue;
		snprintf(why, sizeof(why), "pid %u has %lu MB of memory, max-memory is %lu MB",
		         w->pid, is >> 20, max >> 20);
		slot_restart_worker(sup, slot, why);
	}
}

static int timers_on_look(sd_event_source *source, uint64_t now, void *data);

/* A look comes by then anyway. Arming anew would put it off, with every change for ever. */
static bool timers_looks_within(const struct supervisor *sup, uint64_t us)
{
	int enabled = SD_EVENT_OFF; /* as it is after it has fired */
	uint64_t now, at;

	if (!sup->look_timer || sd_event_source_get_enabled(sup->look_timer, &enabled) < 0 ||
	    enabled == SD_EVENT_OFF)
		return false;
	return sd_event_now(sup->loop, CLOCK_MONOTONIC, &now) >= 0 &&
	       sd_event_source_get_time(sup->look_timer, &at) >= 0 && at <= now + us;
}

void timers_arm(struct supervisor *sup)
{
	int64_t ns = timers_has_draining(sup)         ? RUN_DRAIN_LOOK_NS
	             : timers_wants_memory_looks(sup) ? RUN_MEMORY_LOOK_NS
	                                              : 0;

	if (ns && timers_looks_within(sup, ns / 1000))
		return;
	sup->look_timer = sd_event_source_disable_unref(sup->look_timer);
	if (ns)
		sd_event_add_time_relative(sup->loop, &sup->look_timer, CLOCK_MONOTONIC, ns / 1000,
		                           1000, timers_on_look, sup);
}

static int timers_on_look(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;
	struct worker *next;
	uint64_t open;

	for (struct worker *w = sup->workers; w; w = next) {
		next = w->next;
		if (w->state == WORKER_DRAINING && drain_check_is_done(w, &open)) {
			supervisor_log(sup, "slot %u: pid %u has no connection left", w->slot,
			               w->pid);
			worker_event(w, WORKER_EVENT_DRAINED);
		}
	}
	if (now >= sup->memory_looked_at + RUN_MEMORY_LOOK_NS / 1000) {
		sup->memory_looked_at = now;
		timers_look_at_memory(sup);
	}
	timers_arm(sup);
	return 0;
}

static int timers_on_cron(sd_event_source *source, uint64_t now, void *data);

static long timers_offset_at(int64_t when)
{
	const time_t seconds = when;
	struct tm tm = {};

	localtime_r(&seconds, &tm);
	return tm.tm_gmtoff;
}

static void timers_arm_cron(struct supervisor *sup)
{
	const char *text = sup->plan->config.cron_restart;
	struct error ignored;
	struct cron cron;
	int64_t next;

	sup->cron_timer = sd_event_source_disable_unref(sup->cron_timer);
	if (!text || cron_parse(text, &cron, &ignored) < 0)
		return;
	next = cron_next_local(&cron, time(NULL), timers_offset_at);
	if (next > 0)
		sd_event_add_time(sup->loop, &sup->cron_timer, CLOCK_REALTIME,
		                  (uint64_t)next * 1000000, 1000000, timers_on_cron, sup);
}

void timers_plan_changed(struct supervisor *sup)
{
	timers_arm_cron(sup);
}

/* Workers that are not started again by themselves may be jobs: who of them has ended is started,
 * and who is at work and in no slot is left to it, for a job is never ready as a reload wants it.
 */
static void timers_slots_for_cron(const struct supervisor *sup, struct slots *ret)
{
	struct slots all;

	ret->n = 0;
	reload_slots(sup, &all);
	for (size_t i = 0; i < all.n; i++)
		if (sup->plan->config.restart || sup->slots[all.at[i]].current)
			ret->at[ret->n++] = all.at[i];
}

static int timers_on_cron(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;
	const struct reload_ways ways = reload_ways(&sup->plan->config);
	struct error err = {};
	struct slots slots;

	supervisor_log(sup, "it is time for cron-restart");
	if (!sup->reload)
		slot_start_ended(sup);
	timers_slots_for_cron(sup, &slots);
	if (slots.n && reload_begin(sup, &slots, sup->plan, &ways, &err) < 0)
		supervisor_log(sup, "%s", err.text);
	timers_arm_cron(sup);
	return 0;
}
