/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens in time: looks at who drains and at how much memory each has, and cron's restarts.
 */
#include <stdio.h>
#include <time.h>

#include "core/cron.h"
#include "daemon/run.h"
#include "kern/cgroup.h"

static bool wants_memory_looks(const struct supervisor *sup)
{
	for (const struct run_worker *w = sup->workers; w; w = w->next)
		if (w->plan->config.max_memory)
			return true;
	return false;
}

static bool has_draining(const struct supervisor *sup)
{
	for (const struct run_worker *w = sup->workers; w; w = w->next)
		if (w->state == LIFE_DRAINING)
			return true;
	return false;
}

/* A worker that had the slot before is still there: for another one there may be no room. */
static bool is_left(const struct supervisor *sup, unsigned int slot)
{
	for (const struct run_worker *w = sup->workers; w; w = w->next)
		if (w->slot == slot && w->state >= LIFE_DRAINING)
			return true;
	return false;
}

static void look_at_memory(struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct run_worker *w = sup->slots[slot].current;
		uint64_t max = w ? w->plan->config.max_memory : 0;
		uint64_t is = max ? cgroup_memory(w->cgroup_fd) : 0;
		char why[128];

		if (is <= max || is_left(sup, slot))
			continue;
		snprintf(why, sizeof(why), "pid %u has %lu MB of memory, max-memory is %lu MB",
		         w->pid, is >> 20, max >> 20);
		run_slot_replace(sup, slot, why);
	}
}

static int on_look(sd_event_source *source, uint64_t now, void *data);

/* A look comes by then anyway. Arming anew would put it off, with every change for ever. */
static bool looks_within(const struct supervisor *sup, uint64_t us)
{
	int enabled = SD_EVENT_OFF; /* as it is after it has fired */
	uint64_t now, at;

	if (!sup->look_timer || sd_event_source_get_enabled(sup->look_timer, &enabled) < 0 ||
	    enabled == SD_EVENT_OFF)
		return false;
	return sd_event_now(sup->loop, CLOCK_MONOTONIC, &now) >= 0 &&
	       sd_event_source_get_time(sup->look_timer, &at) >= 0 && at <= now + us;
}

void run_look_arm(struct supervisor *sup)
{
	int64_t ns = has_draining(sup)         ? RUN_DRAIN_LOOK_NS
	             : wants_memory_looks(sup) ? RUN_MEMORY_LOOK_NS
	                                       : 0;

	if (ns && looks_within(sup, ns / 1000))
		return;
	sup->look_timer = sd_event_source_disable_unref(sup->look_timer);
	if (ns)
		sd_event_add_time_relative(sup->loop, &sup->look_timer, CLOCK_MONOTONIC, ns / 1000,
		                           1000, on_look, sup);
}

static int on_look(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;
	struct run_worker *next;
	uint64_t open;

	(void)source;
	for (struct run_worker *w = sup->workers; w; w = next) {
		next = w->next;
		if (w->state == LIFE_DRAINING && run_drain_is_done(w, &open)) {
			run_say(sup, "slot %u: pid %u has no connection left", w->slot, w->pid);
			run_worker_event(w, LIFE_EVENT_DRAINED);
		}
	}
	if (now >= sup->memory_looked_at + RUN_MEMORY_LOOK_NS / 1000) {
		sup->memory_looked_at = now;
		look_at_memory(sup);
	}
	run_look_arm(sup);
	return 0;
}

static int on_cron(sd_event_source *source, uint64_t now, void *data);

static long offset_at(int64_t when)
{
	const time_t seconds = when;
	struct tm tm = {};

	localtime_r(&seconds, &tm);
	return tm.tm_gmtoff;
}

static void arm_cron(struct supervisor *sup)
{
	const char *text = sup->plan->config.cron_restart;
	struct error ignored;
	struct cron cron;
	int64_t next;

	sup->cron_timer = sd_event_source_disable_unref(sup->cron_timer);
	if (!text || cron_parse(text, &cron, &ignored) < 0)
		return;
	next = cron_next_local(&cron, time(NULL), offset_at);
	if (next > 0)
		sd_event_add_time(sup->loop, &sup->cron_timer, CLOCK_REALTIME,
		                  (uint64_t)next * 1000000, 1000000, on_cron, sup);
}

void run_plan_changed(struct supervisor *sup)
{
	arm_cron(sup);
}

/* Workers that are not started again by themselves may be jobs: who of them has ended is started,
 * and who is at work and in no slot is left to it, for a job is never ready as a reload wants it.
 */
static void slots_for_cron(const struct supervisor *sup, struct slots *ret)
{
	struct slots all;

	ret->n = 0;
	reload_slots(sup, &all);
	for (size_t i = 0; i < all.n; i++)
		if (sup->plan->config.restart || sup->slots[all.at[i]].current)
			ret->at[ret->n++] = all.at[i];
}

static int on_cron(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;
	const struct reload_ways ways = reload_ways(&sup->plan->config);
	struct error err = {};
	struct slots slots;

	(void)source;
	(void)now;
	run_say(sup, "it is time for cron-restart");
	if (!sup->reload)
		run_slot_start_ended(sup);
	slots_for_cron(sup, &slots);
	if (slots.n && reload_begin(sup, &slots, sup->plan, &ways, &err) < 0)
		run_say(sup, "%s", err.text);
	arm_cron(sup);
	return 0;
}
