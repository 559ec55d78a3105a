/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/background.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "core/ready_rule.h"
#include "core/roster.h"
#include "kern/cgroup.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "service/service_endpoint.h"
#include "supervise/report.h"
#include "supervise/worker_listeners.h"

/* A program that listens only in the background goes there this soon. */
#define BACKGROUND_NS (10 * NS_PER_S)

/* On a busy machine, the first worker of a slot may have the slot before its program has gone to
 * the background. */
#define BACKGROUND_FIRST_NS (2 * NS_PER_S)

/* How often the search is repeated. */
#define BACKGROUND_TRIES 8

#define BACKGROUND_REMEDY                                                                          \
	"use its foreground option, for example `daemon off;` of nginx, or --no-daemon"

static void background_describe(struct worker *w, uint32_t pid, const char *comm, const char *where)
{
	snprintf(w->why, sizeof(w->why),
	         "went to the background (pid %u, %.*s, %s%s); " BACKGROUND_REMEDY, pid,
	         RPD_COMM_MAX, comm, where ? "holds " : "goes on without it", where ? where : "");
}

/* Whether the worker can serve with the listener. In its slot, it needs one of the service. */
static bool background_counts(const struct worker *w, const struct listener *listener)
{
	return !w->up_at || (service_is_open(&w->sup->service) &&
	                     service_endpoint_index(&w->sup->service, &listener->endpoint) >= 0);
}

/* Whether a process of these has a listener of the worker open. */
static bool background_note_holder(struct worker *w, const uint32_t *pids, size_t n_pids)
{
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct holder *holders = NULL;
	size_t n = 0, n_holders = 0;
	struct error ignored;

	if (worker_listeners_find(w, &listeners, &n, &ignored) < 0 ||
	    proc_holders_find_among(pids, n_pids, listeners, n, &holders, &n_holders, &ignored) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t n_rows = 0;
		const struct holder *rows =
		        roster_find_holders(holders, n_holders, listeners[i].inode, &n_rows);
		const struct holder *owner = roster_find_owner(rows, n_rows);
		char text[ENDPOINT_TEXT_MAX];

		if (!owner || !background_counts(w, &listeners[i]))
			continue;
		background_describe(w, owner->id.pid, owner->comm,
		                    endpoint_format(&listeners[i].endpoint, text, sizeof(text)));
		return true;
	}
	return false;
}

/* Whether one of these processes has ended. */
static bool background_has_ended(const uint32_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (kill((pid_t)pids[i], 0) < 0 && errno == ESRCH)
			return true;
	return false;
}

enum background_search {
	BACKGROUND_ALONE, /* the main process has left no other */
	BACKGROUND_OTHER, /* the processes that are left have no listener of the worker open */
	BACKGROUND_HOLDER,
	BACKGROUND_AGAIN, /* a process has ended during the search; it may have left another one */
};

/* @ret: the oldest process that is left. */
static enum background_search background_search(struct worker *w, struct process *ret)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	if (cgroup_list_processes(w->cgroup_fd, &pids, &n) < 0 || n == 0)
		return BACKGROUND_ALONE;
	if (proc_find_oldest(pids, n, ret) == 0 && background_note_holder(w, pids, n))
		return BACKGROUND_HOLDER;
	return background_has_ended(pids, n) ? BACKGROUND_AGAIN : BACKGROUND_OTHER;
}

static enum background_search background_search_all(struct worker *w, struct process *ret)
{
	enum background_search found = BACKGROUND_AGAIN;

	for (unsigned int i = 0; i < BACKGROUND_TRIES && found == BACKGROUND_AGAIN; i++)
		found = background_search(w, ret);
	return found;
}

static bool background_is_start(const struct worker *w)
{
	return !w->up_at ||
	       (w->is_first && clock_ns(CLOCK_MONOTONIC) - w->up_at < BACKGROUND_FIRST_NS);
}

/* Many programs open their listeners when they are in the background, or open them again. */
static bool background_may_listen(const struct worker *w)
{
	return !w->up_at && !ready_rule_allows_no_listener(&w->plan->config) &&
	       clock_ns(CLOCK_MONOTONIC) - w->started_at <= BACKGROUND_NS;
}

bool background_note(struct worker *w)
{
	struct process left = {};
	enum background_search found;

	if (!w->end[0] || w->end_status || w->state >= WORKER_STOPPING)
		return false;
	found = background_search_all(w, &left);
	if (found == BACKGROUND_OTHER && background_may_listen(w))
		background_describe(w, left.id.pid, left.comm, NULL);
	else if (found != BACKGROUND_HOLDER)
		return false;
	if (background_is_start(w)) {
		w->in_background = true;
		return true;
	}
	report_line(w->sup, "slot %u: pid %u %s", w->slot, w->pid, w->why);
	w->is_left = true;
	w->pid = left.id.pid;
	w->end[0] = '\0'; /* it is no child of ours: its status will not be known */
	w->end_status = -1;
	return true;
}
