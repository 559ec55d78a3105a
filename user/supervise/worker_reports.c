/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_reports.h"

#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "kern/hook.h"
#include "service/run_dir.h"
#include "supervise/notify.h"
#include "supervise/park.h"
#include "supervise/placement.h"
#include "supervise/readiness.h"
#include "supervise/report.h"
#include "supervise/worker.h"
#include "supervise/worker_listeners.h"

/* A worker that is up may listen on another port, or again on one that it has closed. */
static void worker_reports_admit_more(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error err = {};
	bool is_new = false;
	size_t n = 0;

	if (worker_listeners_find(w, &listeners, &n, &err) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		is_new |= !worker_listeners_is_admitted(w, listeners[i].cookie);
	if (is_new && placement_admit(w, &err) < 0)
		report_line(w->sup, "slot %u: %s", w->slot, err.text);
	if (is_new)
		park_update(w->sup); /* clients may wait for just that */
}

static void worker_reports_on_listen(const struct hook_listen *listen, void *data)
{
	struct worker *w = worker_of_cgroup(data, listen->cgroup);

	if (!w)
		return;
	if (listen->refused) {
		w->refused_port = listen->port;
		return;
	}
	if (w->refused_port == listen->port) /* it has fallen back to TCP */
		w->refused_port = 0;
	if (listen->fixed)
		worker_listeners_note(w, listen->cookie);
	if (w->state == WORKER_UP)
		worker_reports_admit_more(w);
	else
		readiness_check(w);
}

/* Events may have been lost, or be of a cgroup below a worker's: checks all workers. */
static void worker_reports_check_all(struct supervisor *sup)
{
	struct worker *next;

	for (struct worker *w = sup->workers; w; w = next) {
		next = w->next;
		readiness_check(w);
	}
}

static int worker_reports_on_hook(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct supervisor *sup = data;

	if (hook_read_listens(sup->hook, worker_reports_on_listen, sup) > 0)
		worker_reports_check_all(sup);
	return 0;
}

int worker_reports_watch_hook(struct supervisor *sup, struct error *err)
{
	int r = sd_event_add_io(sup->loop, &sup->on_hook, hook_fd(sup->hook), EPOLLIN,
	                        worker_reports_on_hook, sup);

	if (r >= 0) /* before READY=1, which the worker sends after it has begun to listen */
		r = sd_event_source_set_priority(sup->on_hook, SD_EVENT_PRIORITY_NORMAL - 1);
	return r < 0 ? error_set(err, r, "can't watch the listen hook: %s", strerror(-r)) : 0;
}

static void worker_reports_on_notify(uint32_t pid, void *data)
{
	struct worker *w = worker_of_pid(data, pid);

	if (!w)
		return;
	w->sent_ready = true;
	readiness_check(w);
}

int worker_reports_open_notify(struct supervisor *sup, const struct run_config *config,
                               struct error *err)
{
	char path[PATH_MAX];

	if (sup->notify || config->ready != READY_NOTIFY)
		return 0;
	run_dir_path(sup->name, "notify", path, sizeof(path));
	return notify_new(sup->loop, path, worker_reports_on_notify, sup, &sup->notify, err);
}
