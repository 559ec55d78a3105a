/* SPDX-License-Identifier: BSD-2-Clause */
/* What an earlier supervisor of the service, which was killed, has left. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "core/schedule_edit.h"
#include "service/schedule_commit.h"
#include "service/observe.h"
#include "service/slot_replace.h"
#include "supervise/types.h"
#include "kern/cgroup.h"
#include "service/run_dir.h"
#include "kern/proc_holders.h"
#include "kern/steer_workers.h"
#include "kern/steer_members.h"

/* Whether one of its processes has it open. */
static bool takeover_holds(const struct worker *w, const struct listener *listener)
{
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n_pids = 0, n = 0;
	struct error ignored;

	return cgroup_list_processes(w->cgroup_fd, &pids, &n_pids) == 0 &&
	       proc_holders_find_among(pids, n_pids, listener, 1, &holders, &n, &ignored) == 0 &&
	       n > 0;
}

/* The slot that one of its listeners is in, or -1. By the cgroup that made it; of one that was
 * passed to it that is the supervisor's. Not by who polls it: a pre-fork program replaces its
 * children as it likes. */
static int takeover_find_slot(const struct worker *w, const struct observed *o)
{
	for (size_t i = 0; i < o->n_listeners; i++)
		for (unsigned int slot = 0; slot < o->n_slots; slot++)
			if (o->listeners[i].cgroup == w->cgroup_id &&
			    observed_is_in_slot(o, slot, o->listeners[i].cookie))
				return slot;
	for (size_t i = 0; i < o->n_listeners && w->slot < o->n_slots; i++)
		if (observed_is_in_slot(o, w->slot, o->listeners[i].cookie) &&
		    takeover_holds(w, &o->listeners[i]))
			return w->slot;
	return -1;
}

/* Whether it is in its slot without any listener, from the beginning (placement_admit()). */
static bool takeover_is_there_without(const struct worker *w, const struct observed *o)
{
	const struct rpd_worker *row = &o->slots[w->slot].worker;
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

/* Of who is in no slot: the account by its listeners, if it was in one before. */
static void takeover_find_account(struct worker *w, const struct service *service,
                                  const struct observed *o)
{
	size_t at = 0;

	for (size_t i = 0; i < o->n_listeners && at < RPD_ENDPOINT_MAX; i++) {
		struct rpd_member member;

		if (o->listeners[i].cgroup != w->cgroup_id ||
		    steer_members_get(&service->steer, o->listeners[i].cookie, &member) < 0)
			continue;
		w->cookies[at++] = o->listeners[i].cookie;
		w->account = member.account;
	}
}

static void takeover_stay(struct worker *w, const struct rpd_worker *row)
{
	struct slot *it = &w->sup->slots[w->slot];

	memcpy(w->cookies, row->cookies, sizeof(w->cookies));
	w->account = row->account;
	w->state = WORKER_UP;
	it->current = w;
	it->proven = true;
	it->run = RPD_RUN_UP;
	it->restarts = row->restarts;
	supervisor_log(w->sup, "slot %u: pid %u is taken over", w->slot, w->pid);
}

/* Who isn't to stay gets no connections any more before it is told to go. */
static int takeover_place(struct worker *w, struct service *service, struct observed *o,
                          struct error *err)
{
	int slot = takeover_find_slot(w, o), r = 0;

	if (slot < 0 && w->slot < o->n_slots && takeover_is_there_without(w, o))
		slot = w->slot;
	if (slot == (int)w->slot && w->slot < w->sup->n_slots && !w->sup->slots[slot].current) {
		takeover_stay(w, &o->slots[slot].worker);
		return 0;
	}
	takeover_find_account(w, service, o);
	if (slot >= 0) {
		r = slot_replace_vacate(service, slot, err);
		o->slots[slot].live = false;
	}
	w->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
	supervisor_log(w->sup,
	               "pid %u, of slot %u, is in no slot: it is stopped when its connections end",
	               w->pid, w->slot);
	return r;
}

static bool takeover_has_worker(const struct supervisor *sup, const char *cgroup_name)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (!strcmp(w->cgroup_name, cgroup_name))
			return true;
	return false;
}

/* What is left of one that has ended. Its name isn't used again: it may take a while. */
static void takeover_pass_on_rest(struct supervisor *sup, const char *path, unsigned int slot,
                                  unsigned int number)
{
	char prefix[RPD_LABEL_MAX + 16];
	struct output *output;
	struct error ignored;

	if (sup->last_number < number)
		sup->last_number = number;
	snprintf(prefix, sizeof(prefix), "%s.%u | ", sup->name, slot);
	if (output_new(sup->loop, path, sup->plan->config.log == RUN_LOG_PREFIX ? prefix : NULL, -1,
	               &output, &ignored) < 0)
		return;
	output_finish(output);
	output_free(output, true);
}

/* What those printed of whom nothing else is left. */
static void takeover_pass_on_output(struct supervisor *sup)
{
	char path[PATH_MAX];
	_cleanup_dir_ DIR *dir = NULL;
	struct dirent *entry;

	run_dir_path(sup->name, "out", path, sizeof(path));
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		char file[PATH_MAX + NAME_MAX + 2];
		unsigned int slot, number;

		if (sscanf(entry->d_name, "%u-%u", &slot, &number) != 2 ||
		    takeover_has_worker(sup, entry->d_name))
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		takeover_pass_on_rest(sup, file, slot, number);
	}
}

/* What the user has stopped stays so; all else is tried anew. */
static void takeover_restore_slots(struct supervisor *sup, const struct service *service)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct rpd_worker row = {};

		steer_workers_get(&service->steer, slot, &row);
		sup->slots[slot].restarts = row.restarts;
		/* Of a job that is stopped nobody knows any more whether it has ended. */
		sup->slots[slot].ended = row.run == RPD_RUN_STOPPED && !sup->plan->config.restart;
		sup->slots[slot].run =
		        row.run == RPD_RUN_STOPPED ? RPD_RUN_STOPPED : RPD_RUN_STARTING;
	}
}

/*
 * Who is in a slot is to be in the ring, and is not if the supervisor before us was killed between
 * the two: he was the slot's first worker, or its last one was found dead. And slots whose workers
 * have died since are left out.
 */
static int takeover_complete_ring(struct supervisor *sup, struct service *service,
                                  struct error *err)
{
	_cleanup_observed_ struct observed o = {};
	struct rpd_schedule draft;
	int r = observe(service, OBSERVE_KNOWN, &o, err);

	if (r < 0)
		return r;
	schedule_commit_begin(service, &o, &draft);
	for (unsigned int slot = 0; r == 0 && slot < sup->n_slots; slot++)
		if (sup->slots[slot].current && draft.slots[slot].state == RPD_SLOT_EMPTY)
			r = schedule_edit_fill_slot(&draft, slot, service->steer.service->label,
			                            err);
	if (r < 0 || !memcmp(&draft, steer_schedule(&service->steer), sizeof(draft)))
		return r;
	return schedule_commit(service, &o, &draft, true, "the take-over", err);
}

/* A probe's: its process has nobody any more who waits for it. */
static void takeover_remove_other(struct supervisor *sup, const char *name)
{
	_cleanup_close_ int fd = cgroup_open(sup->cgroup_path, name);

	if (fd >= 0)
		cgroup_kill(fd);
	cgroup_remove(sup->cgroup_path, name);
}

/* Who has left its cgroup, or was started elsewhere: it can't be supervised. */
static void takeover_say_unknown(struct supervisor *sup, const struct observed *o)
{
	for (unsigned int slot = 0; slot < o->n_slots && slot < sup->n_slots; slot++)
		if (o->slots[slot].live && !sup->slots[slot].current)
			supervisor_log(
			        sup,
			        "slot %u: pid %u takes connections, and is in no cgroup of %s: it "
			        "is not taken over, and left alone",
			        slot, o->slots[slot].worker.pid, sup->cgroup_path);
}

static int takeover_adopt_all(struct supervisor *sup, struct service *service, char **names,
                              size_t n, struct error *err)
{
	_cleanup_observed_ struct observed o = {};
	/* What was killed half way is completed, or taken back. */
	int r = observe(service, OBSERVE_KNOWN, &o, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		unsigned int slot, number;
		struct worker *w;

		if (sscanf(names[i], "%u-%u", &slot, &number) != 2 || slot >= RPD_SLOT_MAX) {
			takeover_remove_other(sup, names[i]);
			continue;
		}
		err->status = 0;
		w = worker_take_over(sup, names[i], WORKER_HELD, err);
		if (w)
			r = takeover_place(w, service, &o, err);
		else if (err->status)
			r = -ECHILD;
	}
	if (r == 0)
		takeover_say_unknown(sup, &o);
	return r;
}

int takeover(struct supervisor *sup, struct error *err)
{
	_cleanup_service_ struct service service;
	char **names = NULL;
	size_t n = 0;
	int r;

	service_init(&service);
	r = service_open(&service, sup->name, err);
	if (r < 0)
		return r;
	sup->n_slots = service.steer.service->n_workers;
	if (!sup->request->stop)
		persisted_command_restore(sup);
	takeover_restore_slots(sup, &service);
	r = cgroup_list_children(sup->cgroup_path, &names, &n);
	r = r < 0 ? error_set(err, r, "can't read %s: %s", sup->cgroup_path, strerror(-r))
	          : takeover_adopt_all(sup, &service, names, n, err);
	if (r == 0)
		r = takeover_complete_ring(sup, &service, err);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	service_close(&service);
	if (r < 0)
		return r;
	takeover_pass_on_output(sup);
	for (struct worker *w = sup->workers, *next; w; w = next) {
		next = w->next;
		if (w->state == WORKER_HELD)
			worker_event(w, WORKER_EVENT_RETIRE);
		else
			readiness_watch(w);
	}
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		placement_note(sup, slot);
	return 0;
}
