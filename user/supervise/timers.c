/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/timers.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "core/cron.h"
#include "kern/cgroup.h"
#include "supervise/drain_check.h"
#include "supervise/plan.h"
#include "supervise/reload.h"
#include "supervise/report.h"
#include "supervise/slot.h"
#include "supervise/worker.h"

#define TIMERS_DRAIN_NS  100000000ll  /* between two checks of workers that drain */
#define TIMERS_MEMORY_NS 2000000000ll /* between two checks of the workers' memory */

/* --- checks */

static bool timers_is_memory_limited(const struct supervisor *sup)
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

/* Whether a former worker of the slot is still there. With it and the current worker, there may be
 * no memory for a third one. */
static bool timers_has_former_worker(const struct supervisor *sup, unsigned int slot)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->slot == slot && w->state >= WORKER_DRAINING)
			return true;
	return false;
}

static void timers_check_memory(struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct worker *w = sup->slots[slot].current;
		uint64_t max = w ? w->plan->config.max_memory : 0;
		uint64_t is = max ? cgroup_measure_memory(w->cgroup_fd) : 0;
		char why[128];

		if (is <= max || timers_has_former_worker(sup, slot))
			continue;
		snprintf(why, sizeof(why), "pid %u has %lu MB of memory, max-memory is %lu MB",
		         w->pid, is >> 20, max >> 20);
		if (!sup->events->unhealthy(w, why))
			slot_restart_worker(sup, slot, why);
	}
}

static int timers_on_check(sd_event_source *source, uint64_t now, void *data);

/* Whether a check is due by then anyway. Setting the timer again with every change would postpone
 * it for ever. */
static bool timers_is_check_due(const struct supervisor *sup, uint64_t us)
{
	int enabled = SD_EVENT_OFF; /* as after it has fired */
	uint64_t now, at;

	if (!sup->check_timer || sd_event_source_get_enabled(sup->check_timer, &enabled) < 0 ||
	    enabled == SD_EVENT_OFF)
		return false;
	return sd_event_now(sup->loop, CLOCK_MONOTONIC, &now) >= 0 &&
	       sd_event_source_get_time(sup->check_timer, &at) >= 0 && at <= now + us;
}

static void timers_arm_check(struct supervisor *sup)
{
	int64_t ns = timers_has_draining(sup)        ? TIMERS_DRAIN_NS
	             : timers_is_memory_limited(sup) ? TIMERS_MEMORY_NS
	                                             : 0;

	if (ns && timers_is_check_due(sup, ns / 1000))
		return;
	sup->check_timer = sd_event_source_disable_unref(sup->check_timer);
	if (ns)
		memory_check(sd_event_add_time_relative(sup->loop, &sup->check_timer,
		                                        CLOCK_MONOTONIC, ns / 1000, 1000,
		                                        timers_on_check, sup));
}

static int timers_on_check(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;
	struct worker *next;
	uint64_t open;

	for (struct worker *w = sup->workers; w; w = next) {
		next = w->next;
		if (w->state == WORKER_DRAINING && drain_check_is_empty(w, &open)) {
			report_line(sup, "slot %u: pid %u has no connection left", w->slot, w->pid);
			worker_event(w, WORKER_EVENT_DRAINED);
		}
	}
	if (now >= sup->memory_checked_at + TIMERS_MEMORY_NS / 1000) {
		sup->memory_checked_at = now;
		timers_check_memory(sup);
	}
	timers_arm_check(sup);
	return 0;
}

/* --- cron-restart */

static int timers_on_cron(sd_event_source *source, uint64_t now, void *data);
static void timers_arm_cron(struct supervisor *sup);

static long timers_offset_at(int64_t when)
{
	const time_t seconds = when;
	struct tm tm = {};

	localtime_r(&seconds, &tm);
	return tm.tm_gmtoff;
}

/* The clock was set: the next time of cron-restart may be nearer, or farther, than the timer. */
static int timers_on_clock_set(sd_event_source *source, int fd, uint32_t events, void *data)
{
	uint64_t ignored;

	if (read(fd, &ignored, sizeof(ignored)) < 0 && errno != ECANCELED)
		return 0;
	timers_arm_cron(data);
	return 0;
}

/* Notices when the clock is set: then the kernel cancels this timer, which is never due, until it
 * is read. Without it, a machine that started with its clock in the future would not reload until
 * then. */
static void timers_watch_clock(struct supervisor *sup)
{
	const struct itimerspec never = {.it_value.tv_sec = INT32_MAX};
	_cleanup_close_ int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd < 0 ||
	    timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 ||
	    sd_event_add_io(sup->loop, &sup->clock_watch, fd, EPOLLIN, timers_on_clock_set, sup) <
	            0)
		return;
	sd_event_source_set_io_fd_own(sup->clock_watch, true);
	TAKE_FD(fd);
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
	if (!sup->clock_watch)
		timers_watch_clock(sup);
	next = cron_next_local(&cron, time(NULL), timers_offset_at);
	if (next > 0)
		memory_check(sd_event_add_time(sup->loop, &sup->cron_timer, CLOCK_REALTIME,
		                               (uint64_t)next * 1000000, 1000000, timers_on_cron,
		                               sup));
}

/* The slots to be reloaded. Workers that are not restarted may be jobs: a job that is running, and
 * in no slot, is left alone, because a job never becomes ready. Slots with a job that has ended are
 * left to slot_start_ended(). */
static void timers_list_cron_slots(const struct supervisor *sup, struct slots *ret)
{
	struct slots all;

	ret->n = 0;
	reload_list_slots(sup, &all);
	for (size_t i = 0; i < all.n; i++)
		if (!sup->slots[all.at[i]].ended &&
		    (sup->plan->config.restart || sup->slots[all.at[i]].current))
			ret->at[ret->n++] = all.at[i];
}

static int timers_on_cron(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;
	const struct reload_ways ways = reload_ways_of(sup, &sup->plan->config);
	struct error err = {};
	struct slots slots;

	report_line(sup, "reload at a time of cron-restart");
	timers_list_cron_slots(sup, &slots);
	if (!sup->reload)
		slot_start_ended(sup);
	if (slots.n && reload_begin(sup, &slots, sup->plan, &ways, &err) < 0)
		report_line(sup, "%s", err.text);
	timers_arm_cron(sup);
	return 0;
}

void timers_update(struct supervisor *sup)
{
	timers_arm_check(sup);
	if (sup->stopping || sup->cron_plan == sup->plan)
		return;
	plan_unref(sup->cron_plan);
	sup->cron_plan = plan_ref(sup->plan);
	timers_arm_cron(sup);
}
