/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/steering_check.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"
#include "kern/events.h"
#include "kern/groups.h"
#include "kern/guard.h"
#include "service/in_force_restore.h"
#include "service/service_lock.h"
#include "supervise/dropped_address.h"
#include "supervise/listener_check.h"
#include "supervise/log_watch.h"
#include "supervise/report.h"
#include "supervise/worker.h"

/* The guard prevents nearly all changes. The rest is found by a look at all listeners, which takes
 * about 2 us for each. */
#define STEERING_CHECK_US  1000000
#define STEERING_MARGIN_US 100000

/* --- attempts */

static void steering_check_on_attempt(const struct guard_attempt *attempt, void *data)
{
	struct supervisor *sup = data;
	const struct worker *w = worker_of_cgroup(sup, attempt->cgroup);

	if (w)
		report_line(sup, "slot %u: pid %u has tried to %s (%s): this %s", w->slot, w->pid,
		            attempt->what, attempt->option, attempt->result);
	else
		report_line(sup, "a process outside the service has tried to %s (%s): this %s",
		            attempt->what, attempt->option, attempt->result);
	if (service_is_open(&sup->service))
		events_note(&sup->service.steer, RPD_EVENT_attempt, w ? w->slot : RPD_NO_SLOT,
		            w ? w->pid : 0, attempt->option + strlen("SO_"));
}

static int steering_check_on_guard(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct supervisor *sup = data;

	guard_read_attempts(sup->guard, steering_check_on_attempt, sup);
	return 0;
}

/* --- what is in force */

static void steering_check_say(const char *line, void *data)
{
	report_line(data, "%s", line);
}

/* All other workers of the service would wait, too. */
static void steering_check_output(struct supervisor *sup)
{
	const uint32_t number = log_watch_check(sup);
	const struct worker *w = number ? worker_of_number(sup, number) : NULL;

	if (!w)
		return;
	report_line(
	        sup,
	        "slot %u: pid %u keeps a pipe of its output locked, so that no worker's lines can "
	        "be read: SIGKILL",
	        w->slot, w->pid);
	cgroup_kill(w->cgroup_fd);
}

static int steering_check_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	_cleanup_service_lock_ struct service *service = NULL;
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	struct supervisor *sup = data;
	struct error ignored;
	size_t n = 0;

	steering_check_output(sup);
	/* What fails is tried again by the next check; `status` shows it. */
	if (service_lock(&sup->service, &service, &ignored) == 0) {
		if (service->reachable)
			groups_read(&service->groups, &rows, &n, &ignored);
		in_force_restore(service, rows, n, sup->parking.fds, &sup->restored, &ignored);
		listener_check(sup, service, rows, n);
		dropped_address_update(sup);
	}
	sd_event_source_set_time_relative(source, STEERING_CHECK_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int steering_check_begin(struct supervisor *sup, struct error *err)
{
	int r = sd_event_add_io(sup->loop, &sup->on_guard, guard_fd(sup->guard), EPOLLIN,
	                        steering_check_on_guard, sup);

	if (r >= 0)
		r = sd_event_add_time_relative(sup->loop, &sup->steering_timer, CLOCK_MONOTONIC,
		                               STEERING_CHECK_US, STEERING_MARGIN_US,
		                               steering_check_on_timer, sup);
	sup->restored = (struct in_force_restore_report){.say = steering_check_say, .data = sup};
	return r < 0 ? error_set(err, r, "can't watch the steering program: %s", strerror(-r)) : 0;
}

void steering_check_end(struct supervisor *sup)
{
	sup->on_guard = sd_event_source_disable_unref(sup->on_guard);
	sup->steering_timer = sd_event_source_disable_unref(sup->steering_timer);
}
