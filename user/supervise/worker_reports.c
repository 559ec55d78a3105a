/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_reports.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"
#include "kern/hook.h"
#include "service/run_dir.h"
#include "service/service_endpoint.h"
#include "supervise/channel.h"
#include "supervise/endpoints.h"
#include "supervise/held_address.h"
#include "supervise/notify.h"
#include "supervise/park.h"
#include "supervise/placement.h"
#include "supervise/plan.h"
#include "supervise/priority.h"
#include "supervise/readiness.h"
#include "supervise/report.h"
#include "supervise/worker.h"
#include "supervise/worker_listeners.h"

/* The share of the loop's time for what a service's workers report. Many workers that start at the
 * same time need it, too. */
#define REPORTS_PERCENT 30

/* A worker may begin to listen without end. */
static void worker_reports_note_error(struct worker *w, const char *text)
{
	char cut[sizeof(w->admit_error)];

	snprintf(cut, sizeof(cut), "%.*s", (int)sizeof(cut) - 1, text);
	if (!strcmp(cut, w->admit_error))
		return;
	memcpy(w->admit_error, cut, sizeof(cut));
	report_line(w->sup, "slot %u: pid %u can't use its new listener: %s", w->slot, w->pid,
	            text);
}

/* A worker that is up may listen on another port, or again on one that it has closed. */
static void worker_reports_admit_more(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error err = {};
	bool is_new = false;
	size_t n = 0;
	int r = worker_listeners_look(w, &listeners, &n, &err);

	if (r == 0)
		endpoints_note_late(w);
	if (r == 0)
		r = endpoints_add(w, true, &err);
	if (r == ENDPOINTS_MORE)
		worker_listeners_ask_look(w);
	for (size_t i = 0; r >= 0 && i < n; i++)
		is_new |= service_endpoint_index(&w->sup->service, &listeners[i].endpoint) >= 0 &&
		          !worker_listeners_is_steered(w, listeners[i].cookie);
	if (r >= 0)
		r = is_new ? placement_admit(w, &err) : PLACEMENT_ADMITTED;
	w->admit_later = r == PLACEMENT_LATER;
	if (r != PLACEMENT_ADMITTED)
		worker_reports_note_error(w, err.text);
	park_update(w->sup); /* clients may wait for just that */
}

/* Looks at what the worker listens on. May free the worker. */
static void worker_reports_look(struct worker *w)
{
	w->look = 0;
	if (w->state == WORKER_UP)
		worker_reports_admit_more(w);
	else
		readiness_check(w);
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
	if (listen->held)
		held_address_note(w, listen);
	if (w->refused_port == listen->port) /* it has fallen back to TCP */
		w->refused_port = 0;
	worker_listeners_ask_look(w);
}

static void worker_reports_read_hook(struct supervisor *sup)
{
	/* Lost reports may be of any worker. */
	if (hook_read_listens(sup->hook, worker_reports_on_listen, sup) == HOOK_LOST)
		for (struct worker *w = sup->workers; w; w = w->next)
			worker_listeners_ask_look(w);
	share_set(&sup->looks, true);
}

static int worker_reports_on_hook(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct supervisor *sup = data;

	share_begin(&sup->listens);
	worker_reports_read_hook(sup);
	share_end(&sup->listens);
	return 0;
}

/* One look at a worker, however often it has begun to listen since the last one. */
static int worker_reports_on_look(sd_event_source *source, void *data)
{
	struct supervisor *sup = data;
	struct worker *next = NULL;

	share_begin(&sup->looks);
	for (struct worker *w = sup->workers; w; w = w->next)
		if (w->look && (!next || w->look < next->look))
			next = w;
	if (next)
		worker_reports_look(next);
	else
		share_set(&sup->looks, false);
	share_end(&sup->looks);
	return 0;
}

int worker_reports_watch_hook(struct supervisor *sup, struct error *err)
{
	sd_event_source *listens = NULL, *looks = NULL;
	int r = sd_event_add_io(sup->loop, &listens, hook_fd(sup->hook), EPOLLIN,
	                        worker_reports_on_hook, sup);

	if (r >= 0)
		r = sd_event_add_defer(sup->loop, &looks, worker_reports_on_look, sup);
	if (r >= 0)
		r = sd_event_source_set_priority(listens, PRIORITY_UNTRUSTED);
	if (r >= 0)
		r = sd_event_source_set_priority(looks, PRIORITY_UNTRUSTED);
	if (r < 0) {
		sd_event_source_disable_unref(listens);
		sd_event_source_disable_unref(looks);
		return error_set(err, r, "can't watch the listen hook: %s", strerror(-r));
	}
	share_init(&sup->listens, listens, REPORTS_PERCENT);
	share_init(&sup->looks, looks, REPORTS_PERCENT);
	return 0;
}

/* The worker that has the process in its cgroup, or below it; or NULL. */
static struct worker *worker_reports_find_sender(struct supervisor *sup, uint32_t pid)
{
	const size_t length = strlen(sup->cgroup_below);
	char path[PATH_MAX];
	char *name;

	if (cgroup_of_process(pid, path, sizeof(path)) < 0 ||
	    strncmp(path, sup->cgroup_below, length) != 0 || path[length] != '/')
		return NULL;
	name = path + length + 1;
	name[strcspn(name, "/")] = '\0';
	for (struct worker *w = sup->workers; w; w = w->next)
		if (!strcmp(w->cgroup_name, name))
			return w;
	return NULL;
}

static void worker_reports_on_notify(uint32_t pid, void *data)
{
	struct worker *w = worker_reports_find_sender(data, pid);

	if (!w || w->sent_ready)
		return;
	w->sent_ready = true;
	readiness_check(w);
}

int worker_reports_open_notify(struct supervisor *sup, const struct run_config *config,
                               struct error *err)
{
	const uid_t uid = plan_listener_uid(config);
	char path[PATH_MAX];

	if (config->ready != READY_NOTIFY)
		return 0;
	if (sup->notify)
		return notify_allow(sup->notify, uid, err);
	run_dir_path(sup->name, "notify", path, sizeof(path));
	return notify_new(sup->loop, path, uid, worker_reports_on_notify, sup, &sup->notify, err);
}

/* --- all of them */

void worker_reports_read_rest(struct worker *w)
{
	struct supervisor *sup = w->sup;
	const unsigned int number = w->number;

	worker_reports_read_hook(sup);
	if (sup->notify)
		notify_read_rest(sup->notify);
	/* A message may have made it ready, and its admission failed. */
	w = worker_of_number(sup, number);
	if (w && w->channel)
		channel_read_rest(w->channel);
}
