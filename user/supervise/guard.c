/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/guard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "service/run_dir.h"
#include "service/service_lock.h"
#include "supervise/control.h"
#include "supervise/notify.h"
#include "supervise/persisted_command.h"
#include "supervise/report.h"
#include "supervise/worker_reports.h"

#define GUARD_EVENTS (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* `rm -r` deletes one file after the other: the folder is made again when that is over. */
#define GUARD_PAUSE_US 100000

struct guard {
	struct supervisor *sup;
	sd_event_source *on_run_dir, *on_pins, *timer;
};

static bool guard_has_file(const struct supervisor *sup, const char *name)
{
	char path[PATH_MAX];

	run_dir_path(sup->name, name, path, sizeof(path));
	return access(path, F_OK) == 0;
}

static int guard_make_run_dir(struct supervisor *sup, struct error *err)
{
	int r = run_dir_make(sup->name, err);

	if (r == 0)
		r = run_dir_note_cgroup(sup->name, sup->cgroup_path, err);
	if (r == 0)
		r = control_listen(sup->control, err);
	if (r == 0)
		r = persisted_command_keep(sup, &sup->plan->config, err);
	return r;
}

static int guard_make_notify(struct supervisor *sup, struct error *err)
{
	notify_free(sup->notify);
	sup->notify = NULL;
	return worker_reports_open_notify(sup, &sup->plan->config, err);
}

static void guard_repair(struct supervisor *sup)
{
	struct service *service = NULL;
	struct error err = {};
	int r = 0;

	if (!guard_has_file(sup, "control")) {
		report_line(sup, "%s was deleted, and is made again", sup->run_dir);
		r = guard_make_run_dir(sup, &err);
	}
	if (r == 0 && sup->notify && !guard_has_file(sup, "notify"))
		r = guard_make_notify(sup, &err);
	if (r < 0)
		report_line(sup, "%s", err.text);
	/* Locking the service finds pins that are missing. */
	if (service_lock(&sup->service, &service, &err) < 0)
		report_line(sup, "%s", err.text);
	else
		service_unlock(service);
}

static int guard_watch(struct guard *guard, struct error *err);

static int guard_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct guard *guard = data;
	struct error err = {};

	guard->timer = sd_event_source_disable_unref(guard->timer);
	guard_repair(guard->sup);
	if (guard_watch(guard, &err) < 0)
		report_line(guard->sup, "%s", err.text);
	return 0;
}

static int guard_on_change(sd_event_source *source, const struct inotify_event *event, void *data)
{
	struct guard *guard = data;

	if (guard->timer)
		return 0;
	return sd_event_add_time_relative(guard->sup->loop, &guard->timer, CLOCK_MONOTONIC,
	                                  GUARD_PAUSE_US, 1000, guard_on_timer, guard);
}

/* Watches the folders that have the names now. */
static int guard_watch(struct guard *guard, struct error *err)
{
	struct supervisor *sup = guard->sup;
	sd_event_source *run_dir = NULL, *pins = NULL;
	int r = sd_event_add_inotify(sup->loop, &run_dir, sup->run_dir, GUARD_EVENTS,
	                             guard_on_change, guard);

	if (r >= 0)
		r = sd_event_add_inotify(sup->loop, &pins, sup->service.pins.path, GUARD_EVENTS,
		                         guard_on_change, guard);
	sd_event_source_disable_unref(guard->on_run_dir);
	sd_event_source_disable_unref(guard->on_pins);
	guard->on_run_dir = run_dir;
	guard->on_pins = pins;
	return r < 0 ? error_set(err, r, "can't watch %s and %s: %s", sup->run_dir,
	                         sup->service.pins.path, strerror(-r))
	             : 0;
}

int guard_new(struct supervisor *sup, struct guard **ret, struct error *err)
{
	struct guard *guard = calloc(1, sizeof(*guard));
	int r;

	if (!guard)
		return error_set(err, -ENOMEM, "out of memory");
	guard->sup = sup;
	r = guard_watch(guard, err);
	if (r < 0)
		guard_free(guard);
	else
		*ret = guard;
	return r;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	sd_event_source_disable_unref(guard->on_run_dir);
	sd_event_source_disable_unref(guard->on_pins);
	sd_event_source_disable_unref(guard->timer);
	free(guard);
}
