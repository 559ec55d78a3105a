/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/takeover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "kern/cgroup.h"
#include "kern/cgroup_limit.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/steer_workers.h"
#include "service/observe.h"
#include "service/schedule_commit.h"
#include "service/service_lock.h"
#include "service/slot_replace.h"
#include "supervise/deployment_resume.h"
#include "supervise/dropped_address.h"
#include "supervise/endpoints.h"
#include "supervise/former.h"
#include "supervise/health.h"
#include "supervise/log_link.h"
#include "supervise/persisted_command.h"
#include "supervise/placement.h"
#include "supervise/report.h"
#include "supervise/supervisor_request.h"
#include "supervise/worker.h"
#include "supervise/worker_listeners.h"
#include "supervise/worker_start.h"

/* Whether a process of the worker has the listener open. */
static bool takeover_has_open(const struct worker *w, const struct listener *listener)
{
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n_pids = 0, n = 0;
	struct error ignored;

	return cgroup_list_processes(w->cgroup_fd, &pids, &n_pids) == 0 &&
	       proc_holders_find_among(pids, n_pids, listener, 1, &holders, &n, &ignored) == 0 &&
	       n > 0;
}

/* The slot that has one of the worker's listeners, or -1. Listeners are matched by the cgroup that
 * made them. A listener that was passed to the worker was made in the supervisor's cgroup, and is
 * matched by the processes that have it open. The process that polls the listener is no proof: a
 * pre-fork program may replace its children. */
static int takeover_find_slot(const struct worker *w, const struct observed *o)
{
	for (size_t i = 0; i < o->n_listeners; i++)
		for (unsigned int slot = 0; slot < o->n_slots; slot++)
			if (o->listeners[i].cgroup == w->cgroup_id &&
			    observed_is_in_slot(o, slot, o->listeners[i].cookie))
				return slot;
	for (size_t i = 0; i < o->n_listeners && w->slot < o->n_slots; i++)
		if (observed_is_in_slot(o, w->slot, o->listeners[i].cookie) &&
		    takeover_has_open(w, &o->listeners[i]))
			return w->slot;
	return -1;
}

/* Whether the worker is in its slot without a listener (placement_admit()). */
static bool takeover_is_in_slot(const struct worker *w, const struct observed *o)
{
	const struct rpd_worker *row = o->slots[w->slot].worker;
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	if (row->fd >= 0 || row->run != RPD_RUN_UP)
		return false;
	cgroup_list_processes(w->cgroup_fd, &pids, &n);
	for (size_t i = 0; i < n; i++)
		if (pids[i] == row->pid)
			return true;
	return false;
}

/* For a worker in no slot: finds the generation of its listeners when it was in one. */
static void takeover_find_generation(struct worker *w, const struct observed *o)
{
	size_t at = 0;

	for (size_t i = 0; i < o->n_listeners && at < RPD_ENDPOINT_MAX; i++) {
		const struct rpd_member *member =
		        steer_members_find(&o->members, o->listeners[i].cookie);

		if (o->listeners[i].cgroup != w->cgroup_id || !member)
			continue;
		w->cookies[at++] = o->listeners[i].cookie;
		w->generation = member->account;
	}
}

static void takeover_keep(struct worker *w, const struct rpd_worker *row)
{
	struct slot *it = &w->sup->slots[w->slot];

	memcpy(w->cookies, row->cookies, sizeof(w->cookies));
	w->generation = row->account;
	w->state = WORKER_UP;
	it->current = w;
	it->proven = true;
	it->run = RPD_RUN_UP;
	it->restarts = row->restarts;
	report_line(w->sup, "slot %u: pid %u is taken over", w->slot, w->pid);
}

/* Keeps the worker in its slot, or makes sure that it is in none: a worker that is drained must get
 * no new connection. */
static int takeover_place(struct worker *w, struct service *service, struct observed *o,
                          struct error *err)
{
	int slot = takeover_find_slot(w, o), r = 0;

	if (slot < 0 && w->slot < o->n_slots && takeover_is_in_slot(w, o))
		slot = w->slot;
	if (slot == (int)w->slot && w->slot < w->sup->n_slots && !w->sup->slots[slot].current) {
		takeover_keep(w, o->slots[slot].worker);
		/* The row's main process may have ended while there was no supervisor, or it is
		 * that of a worker which an admission that was killed half way has not put into the
		 * slot. */
		return placement_note_main(w, err);
	}
	takeover_find_generation(w, o);
	former_recall(w);
	if (slot >= 0) {
		r = slot_replace_vacate(service, slot, err);
		o->slots[slot].live = false;
	}
	w->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
	if (deployment_resume_holds(w))
		return r;
	report_line(w->sup,
	            "pid %u, once in slot %u, is in no slot: it is stopped when its connections "
	            "have ended",
	            w->pid, w->slot);
	return r;
}

/* A slot stays as it is if the user has stopped it, or if its worker has ended for good. All others
 * are started again. */
static void takeover_restore_slots(struct supervisor *sup, const struct service *service)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct slot *it = &sup->slots[slot];
		struct rpd_worker row = {};

		steer_workers_get(&service->steer, slot, &row);
		it->restarts = row.restarts;
		it->ended = row.ended;
		it->proven = row.run == RPD_RUN_UP;
		it->run = row.run == RPD_RUN_STOPPED || row.ended ? row.run : RPD_RUN_STARTING;
	}
}

/* Takes slots out of the ring whose workers have died while there was no supervisor. */
static int takeover_update_ring(struct service *service, struct error *err)
{
	_cleanup_observed_ struct observed o = {};
	struct rpd_schedule draft;
	int r = observe(service, OBSERVE_KNOWN, &o, err);

	if (r < 0)
		return r;
	schedule_commit_begin(service, &o, &draft);
	if (!memcmp(&draft, steer_schedule(&service->steer), sizeof(draft)))
		return 0;
	return schedule_commit(service, &o, &draft, true, "the take-over", err);
}

/* Removes the cgroup of a probe: no supervisor waits for its process any more. */
static void takeover_remove_probe(struct supervisor *sup, const char *name)
{
	_cleanup_close_ int fd = cgroup_open(sup->cgroup_path, name);

	if (fd >= 0)
		cgroup_kill(fd);
	cgroup_remove(sup->cgroup_path, name);
}

/* Reports workers that have left their cgroup or were started elsewhere: they can't be supervised.
 */
static void takeover_report_unknown(struct supervisor *sup, const struct observed *o)
{
	for (unsigned int slot = 0; slot < o->n_slots && slot < sup->n_slots; slot++)
		if (o->slots[slot].live && !sup->slots[slot].current)
			report_line(
			        sup,
			        "slot %u: pid %u takes connections but is in no cgroup of %s: it "
			        "is left alone and not taken over",
			        slot, o->slots[slot].worker->pid, sup->cgroup_path);
}

/* Without `restart`, the slot of a worker that ended while there was no supervisor stays empty. */
static void takeover_leave_ended(struct supervisor *sup, const bool *ended)
{
	for (unsigned int slot = 0; slot < sup->n_slots && !sup->plan->config.restart; slot++) {
		struct slot *it = &sup->slots[slot];

		if (!ended[slot] || it->current || it->run != RPD_RUN_STARTING)
			continue;
		it->run = RPD_RUN_STOPPED;
		it->ended = true;
		report_line(sup,
		            "slot %u: its worker ended while there was no supervisor; not started "
		            "again (no-restart)",
		            slot);
	}
}

static int takeover_all_workers(struct supervisor *sup, struct service *service, char **names,
                                size_t n, struct error *err)
{
	_cleanup_observed_ struct observed o = {};
	bool ended[RPD_SLOT_MAX] = {};
	/* A change that was killed half way is completed or undone. */
	int r = observe(service, OBSERVE_KNOWN, &o, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		unsigned int slot, number;
		struct worker *w;

		if (!strcmp(names[i], LOG_LINK_CGROUP))
			continue;
		if (sscanf(names[i], "%u-%u", &slot, &number) != 2 || slot >= RPD_SLOT_MAX) {
			takeover_remove_probe(sup, names[i]);
			continue;
		}
		r = worker_start_take_over(sup, names[i], &w, err);
		if (r == WORKER_START_TAKEN_OVER)
			r = takeover_place(w, service, &o, err);
		else if (r == WORKER_START_EMPTY)
			ended[slot] = true;
		r = r < 0 ? r : 0;
	}
	former_drop_ended(sup);
	if (r == 0) {
		takeover_leave_ended(sup, ended);
		takeover_report_unknown(sup, &o);
	}
	return r;
}

/* Sets limits again if their controllers were turned off when the earlier supervisor died (see
 * ExecStopPost= in reuseportd@.service). A limit in force is kept. */
static void takeover_restore_limits(struct supervisor *sup)
{
	const struct run_config *config = &sup->plan->config;
	const uint64_t memory =
	        cgroup_limit_is_on(sup->cgroup_fd, "memory") ? 0 : config->memory_limit;
	const unsigned int cpu = cgroup_limit_is_on(sup->cgroup_fd, "cpu") ? 0 : config->cpu_limit;
	struct error err;

	for (struct worker *w = sup->workers; w; w = w->next)
		if (cgroup_limit_set(w->cgroup_fd, memory, cpu, &err) < 0)
			report_line(sup, "slot %u: pid %u has no limits: %s", w->slot, w->pid,
			            err.text);
}

/* Notes what the earlier supervisor knew: where the workers listen, which addresses they don't
 * share, and which they have dropped. */
static void takeover_note_listeners(struct supervisor *sup)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		sup->endpoints[e].was_served = true;
	for (struct worker *w = sup->workers; w; w = w->next) {
		_cleanup_free_ struct listener *listeners = NULL;
		size_t n = 0;

		worker_listeners_look(w, &listeners, &n, &ignored);
		if (w->state == WORKER_UP)
			endpoints_note_private(w, true);
	}
	if (service_lock(&sup->service, &service, &ignored) == 0)
		dropped_address_recall(sup, service);
}

int takeover(struct supervisor *sup, struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	char **names = NULL;
	size_t n = 0;
	int r = service_lock(&sup->service, &service, err);

	if (r < 0)
		return r;
	sup->n_slots = service->steer.service->n_workers;
	if (!sup->request->stop)
		persisted_command_restore(sup);
	if (!sup->request->stop)
		deployment_resume_read(sup);
	takeover_restore_slots(sup, service);
	r = cgroup_list_children(sup->cgroup_path, &names, &n);
	r = r < 0 ? error_set(err, r, "can't read %s: %s", sup->cgroup_path, strerror(-r))
	          : takeover_all_workers(sup, service, names, n, err);
	if (r == 0)
		r = takeover_update_ring(service, err);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	service_cleanup_lock(&service);
	service = NULL;
	if (r < 0)
		return r;
	takeover_restore_limits(sup);
	takeover_note_listeners(sup);
	log_link_note_former_gone(sup);
	deployment_resume_take_workers(sup);
	for (struct worker *w = sup->workers, *next; w; w = next) {
		next = w->next;
		if (w->state == WORKER_HELD && !deployment_resume_holds(w))
			worker_event(w, WORKER_EVENT_RETIRE);
		else if (w->state == WORKER_UP)
			health_watch(w);
	}
	placement_note_all_runs(sup);
	return 0;
}
