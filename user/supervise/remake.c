/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/remake.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "service/run_dir.h"
#include "service/service_lock.h"
#include "supervise/control.h"
#include "supervise/due.h"
#include "supervise/log_link.h"
#include "supervise/notify.h"
#include "supervise/persisted_command.h"
#include "supervise/report.h"
#include "supervise/worker_reports.h"

#define REMAKE_EVENTS_ABOVE (IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define REMAKE_EVENTS       (IN_DELETE | IN_MOVED_FROM | REMAKE_EVENTS_ABOVE)

#define REMAKE_FOLDERS 2 /* of the files in /run, and of the pins */

/* `rm -r` deletes one file after the other: the folder is made again when that is over. */
#define REMAKE_PAUSE_US 100000
/* What has failed is tried again. */
#define REMAKE_RETRY_US 1000000

struct remake {
	struct supervisor *sup;
	/* Of the loop of the process: a turn of the service would make the pins again at once. */
	sd_event_source *on_folder[REMAKE_FOLDERS], *on_above[REMAKE_FOLDERS], *timer;
	sd_event_source *on_turn;
	bool lacks_notify; /* the socket could not be made again */
	bool failed;       /* what was lacking is made later */
};

static bool remake_has_file(const struct supervisor *sup, const char *name)
{
	char path[PATH_MAX];

	run_dir_path(sup->name, name, path, sizeof(path));
	return access(path, F_OK) == 0;
}

static int remake_make_run_dir(struct supervisor *sup, struct error *err)
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

static int remake_make_notify(struct remake *remake, struct error *err)
{
	struct supervisor *sup = remake->sup;
	int r;

	notify_free(sup->notify);
	sup->notify = NULL;
	r = worker_reports_open_notify(sup, &sup->plan->config, err);
	remake->lacks_notify = r < 0;
	return r;
}

static bool remake_lacks_log(const struct supervisor *sup)
{
	return !remake_has_file(sup, "log") || !remake_has_file(sup, "log.state") ||
	       !remake_has_file(sup, "out");
}

/* Returns 0; 1 if it is to be called again; or a negative errno with @err set. */
static int remake_files(struct remake *remake, struct error *err)
{
	struct supervisor *sup = remake->sup;
	int r = 0;

	if (!remake_has_file(sup, "control")) {
		report_line(sup, "%s was deleted, and is made again", sup->run_dir);
		r = remake_make_run_dir(sup, err);
	}
	if (r == 0 && (sup->notify || remake->lacks_notify) && !remake_has_file(sup, "notify"))
		r = remake_make_notify(remake, err);
	if (r < 0 || !remake_lacks_log(sup))
		return r;
	r = run_dir_make(sup->name, err);
	if (r == 0)
		r = log_link_move(sup, err);
	/* Whether the log process has made its files is seen the next time. */
	return r < 0 ? r : 1;
}

static int remake_lock_service(struct supervisor *sup, struct error *err)
{
	struct service *service = NULL;
	const int r = service_lock(&sup->service, &service, err);

	if (r >= 0)
		service_unlock(service);
	return r;
}

static int remake_watch(struct remake *remake, struct error *err);
static int remake_set_timer(struct remake *remake, uint64_t pause);

/* The first failure of a row is reported. */
static bool remake_failed(struct remake *remake, int r, const struct error *err)
{
	if (r < 0 && !remake->failed)
		report_line(remake->sup, "%s", err->text);
	return r < 0;
}

/* In the service's turn, which has locked the service. */
static int remake_on_turn(sd_event_source *source, void *data)
{
	struct remake *remake = data;
	struct error err = {};
	const int r = remake_files(remake, &err);
	bool failed = remake_failed(remake, r, &err);

	/* Locking the service finds pins that are missing. */
	failed |= remake_failed(remake, remake_lock_service(remake->sup, &err), &err);
	failed |= remake_failed(remake, remake_watch(remake, &err), &err);
	remake->failed = failed;
	return failed || r > 0 ? remake_set_timer(remake, REMAKE_RETRY_US) : 0;
}

static int remake_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct remake *remake = data;

	remake->timer = sd_event_source_disable_unref(remake->timer);
	due_now(remake->sup, remake->on_turn);
	return 0;
}

static int remake_set_timer(struct remake *remake, uint64_t pause)
{
	if (remake->timer)
		return 0;
	return memory_check(sd_event_add_time_relative(remake->sup->all->loop, &remake->timer,
	                                               CLOCK_MONOTONIC, pause, 1000,
	                                               remake_on_timer, remake));
}

static int remake_on_change(sd_event_source *source, const struct inotify_event *event, void *data)
{
	return remake_set_timer(data, REMAKE_PAUSE_US);
}

static int remake_watch_folder(struct remake *remake, const char *path, uint32_t events,
                               sd_event_source **ret, struct error *err)
{
	sd_event_source *source = NULL;
	int r = sd_event_add_inotify(remake->sup->all->loop, &source, path, events,
	                             remake_on_change, remake);

	sd_event_source_disable_unref(*ret);
	*ret = source;
	return r < 0 ? error_set(err, r, "can't watch %s: %s", path, strerror(-r)) : 0;
}

/* Watches the folders that have the names now; and the folder above, which may be moved away. */
static int remake_watch(struct remake *remake, struct error *err)
{
	const char *paths[REMAKE_FOLDERS] = {remake->sup->run_dir, remake->sup->service.pins.path};
	int r = 0;

	for (size_t i = 0; r == 0 && i < REMAKE_FOLDERS; i++) {
		char above[PATH_MAX];

		snprintf(above, sizeof(above), "%.*s", (int)(strrchr(paths[i], '/') - paths[i]),
		         paths[i]);
		r = remake_watch_folder(remake, paths[i], REMAKE_EVENTS, &remake->on_folder[i],
		                        err);
		if (r == 0)
			r = remake_watch_folder(remake, above, REMAKE_EVENTS_ABOVE,
			                        &remake->on_above[i], err);
	}
	return r;
}

int remake_new(struct supervisor *sup, struct remake **ret, struct error *err)
{
	struct remake *remake = calloc(1, sizeof(*remake));
	int r;

	if (!remake)
		return error_set(err, -ENOMEM, "out of memory");
	remake->sup = sup;
	r = due_new(sup, SD_EVENT_PRIORITY_NORMAL, remake_on_turn, remake, &remake->on_turn);
	r = r < 0 ? error_set(err, r, "can't set up the event loop: %s", strerror(-r))
	          : remake_watch(remake, err);
	if (r < 0)
		remake_free(remake);
	else
		*ret = remake;
	return r;
}

void remake_free(struct remake *remake)
{
	if (!remake)
		return;
	for (size_t i = 0; i < REMAKE_FOLDERS; i++) {
		sd_event_source_disable_unref(remake->on_folder[i]);
		sd_event_source_disable_unref(remake->on_above[i]);
	}
	sd_event_source_disable_unref(remake->timer);
	sd_event_source_disable_unref(remake->on_turn);
	free(remake);
}
