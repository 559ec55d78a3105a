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
#include "core/edit.h"
#include "daemon/change.h"
#include "daemon/observe.h"
#include "daemon/run.h"
#include "kern/cgroup.h"
#include "kern/sockdiag.h"

/* Of who is in no slot: the account by its listeners, if it was in one before. */
static void find_account(struct run_worker *w, const struct service *service,
                         const struct listener *listeners, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at < RPD_ENDPOINT_MAX; i++) {
		struct rpd_member member;

		if (listeners[i].cgroup != w->cgroup_id ||
		    steer_member_get(&service->steer, listeners[i].cookie, &member) < 0)
			continue;
		w->cookies[at++] = listeners[i].cookie;
		w->account = member.account;
	}
}

static bool has_process(const struct run_worker *w, uint32_t pid)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	cgroup_processes(w->cgroup_fd, &pids, &n);
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* Whether the worker is the one that its slot's row names, with a listener in force, or with none
 * from the beginning (run_place_admit()). */
static bool is_in_slot(const struct run_worker *w, const struct service *service,
                       struct rpd_worker *ret_row)
{
	if (w->slot >= w->sup->n_slots || steer_worker_get(&service->steer, w->slot, ret_row) < 0 ||
	    !has_process(w, ret_row->pid))
		return false;
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		if (ret_row->cookies[e] &&
		    steer_cookie(&service->steer, e, w->slot) == ret_row->cookies[e])
			return true;
	return ret_row->fd < 0 && ret_row->run == RPD_RUN_UP;
}

static void place(struct run_worker *w, const struct service *service,
                  const struct listener *listeners, size_t n)
{
	struct run_slot *it = &w->sup->slots[w->slot];
	struct rpd_worker row;

	if (is_in_slot(w, service, &row) && !it->current) {
		memcpy(w->cookies, row.cookies, sizeof(w->cookies));
		w->account = row.account;
		w->state = LIFE_UP;
		it->current = w;
		it->run = RPD_RUN_UP;
		it->restarts = row.restarts;
		run_say(w->sup, "slot %u: pid %u is taken over", w->slot, w->pid);
		return;
	}
	find_account(w, service, listeners, n);
	w->withdrawn_at = clock_ns(CLOCK_MONOTONIC);
	run_say(w->sup, "pid %u, of slot %u, is in no slot: it is stopped when its connections end",
	        w->pid, w->slot);
}

static bool has_worker(const struct supervisor *sup, const char *cgroup_name)
{
	for (const struct run_worker *w = sup->workers; w; w = w->next)
		if (!strcmp(w->cgroup_name, cgroup_name))
			return true;
	return false;
}

/* What is left of one that has ended. Its name isn't used again: it may take a while. */
static void pass_on_rest(struct supervisor *sup, const char *path, unsigned int slot,
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
	output_flush(output);
	output_free(output, true);
}

/* What those printed of whom nothing else is left. */
static void pass_on_output(struct supervisor *sup)
{
	char path[PATH_MAX];
	_cleanup_dir_ DIR *dir = NULL;
	struct dirent *entry;

	supervisor_path(sup->name, "out", path, sizeof(path));
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		char file[PATH_MAX + NAME_MAX + 2];
		unsigned int slot, number;

		if (sscanf(entry->d_name, "%u-%u", &slot, &number) != 2 ||
		    has_worker(sup, entry->d_name))
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		pass_on_rest(sup, file, slot, number);
	}
}

/* What the user has stopped stays so; all else is tried anew. */
static void restore_slots(struct supervisor *sup, const struct service *service)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct rpd_worker row = {};

		steer_worker_get(&service->steer, slot, &row);
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
static int complete_ring(const struct supervisor *sup, struct service *service,
                         const struct observed *observed, struct error *err)
{
	struct rpd_schedule draft;
	int r = 0;

	change_begin(service, observed, &draft);
	for (unsigned int slot = 0; r == 0 && slot < sup->n_slots; slot++)
		if (sup->slots[slot].current && draft.slots[slot].state == RPD_SLOT_EMPTY)
			r = edit_fill(&draft, slot, service->steer.service->label, err);
	if (r < 0 || !memcmp(&draft, steer_schedule(&service->steer), sizeof(draft)))
		return r;
	return change_commit(service, observed, &draft, true, "the take-over", err);
}

/* A probe's: its process has nobody any more who waits for it. */
static void remove_other(struct supervisor *sup, const char *name)
{
	_cleanup_close_ int fd = cgroup_open(sup->cgroup_path, name);

	if (fd >= 0)
		cgroup_kill(fd);
	cgroup_remove(sup->cgroup_path, name);
}

static int adopt_all(struct supervisor *sup, const struct service *service, char **names, size_t n,
                     struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	size_t n_listeners = 0;
	int r = sockdiag_listeners(0, &listeners, &n_listeners, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		unsigned int slot, number;
		struct run_worker *w;

		if (sscanf(names[i], "%u-%u", &slot, &number) != 2 || slot >= RPD_SLOT_MAX) {
			remove_other(sup, names[i]);
			continue;
		}
		err->status = 0;
		w = run_worker_adopt(sup, names[i], LIFE_HELD, err);
		if (w)
			place(w, service, listeners, n_listeners);
		else if (err->status)
			r = -ECHILD;
	}
	return r;
}

int run_takeover(struct supervisor *sup, struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_ struct service service;
	char **names = NULL;
	size_t n = 0;
	int r;

	service_init(&service);
	r = service_open(&service, sup->name, err);
	if (r == 0) /* an admission, or the opposite, that was begun is done first */
		r = observe(&service, OBSERVE_KNOWN, &observed, err);
	if (r < 0)
		return r;
	sup->n_slots = service.steer.service->n_workers;
	if (!sup->request->stop)
		run_command_take_back(sup);
	restore_slots(sup, &service);
	r = cgroup_children(sup->cgroup_path, &names, &n);
	r = r < 0 ? error_set(err, r, "can't read %s: %s", sup->cgroup_path, strerror(-r))
	          : adopt_all(sup, &service, names, n, err);
	if (r == 0)
		r = complete_ring(sup, &service, &observed, err);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	service_close(&service);
	if (r < 0)
		return r;
	pass_on_output(sup);
	for (struct run_worker *w = sup->workers, *next; w; w = next) {
		next = w->next;
		if (w->state == LIFE_HELD)
			run_worker_event(w, LIFE_EVENT_RETIRE);
		else
			run_ready_watch(w);
	}
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		run_place_note(sup, slot);
	return 0;
}
