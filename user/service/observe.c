/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/observe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "core/roster.h"
#include "core/listener_owner.h"
#include "service/admit.h"
#include "service/sockets.h"
#include "service/run_dir.h"
#include "kern/cgroup.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "kern/steer_members.h"

void observed_free(struct observed *o)
{
	free(o->listeners);
	free(o->holders);
	free(o->slots);
	free(o->strangers);
	memset(o, 0, sizeof(*o));
}

static int observe_compare_cookies(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

const struct listener *observed_listener(const struct observed *o, uint64_t cookie)
{
	const struct listener key = {.cookie = cookie};

	if (o->n_listeners == 0)
		return NULL;
	return bsearch(&key, o->listeners, o->n_listeners, sizeof(key), observe_compare_cookies);
}

bool observed_is_in_slot(const struct observed *o, unsigned int slot, uint64_t cookie)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (o->slots[slot].cookies[e] == cookie)
			return true;
	return false;
}

int observed_endpoint(const struct service *service, const struct listener *listener)
{
	const struct rpd_service *info = service->steer.service;

	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (endpoint_equal(&info->endpoints[e], &listener->endpoint))
			return e;
	return -1;
}

/* The members of the service's groups, by cookie. */
static int observe_find_listeners(const struct service *service, struct observed *o,
                                  struct error *err)
{
	size_t n, kept = 0;
	int r;

	if (!service->reachable)
		return 0;
	r = sockets_listeners(service, &o->listeners, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (observed_endpoint(service, &o->listeners[i]) >= 0)
			o->listeners[kept++] = o->listeners[i];
	o->n_listeners = kept;
	if (kept)
		qsort(o->listeners, kept, sizeof(*o->listeners), observe_compare_cookies);
	return 0;
}

static int observe_read_slots(const struct service *service, struct observed *o, struct error *err)
{
	const struct steer *steer = &service->steer;
	_cleanup_free_ struct rpd_worker *workers = NULL;
	int r;

	o->n_slots = steer_schedule(steer)->n_slots;
	o->slots = calloc(o->n_slots + 1, sizeof(*o->slots));
	workers = calloc(o->n_slots + 1, sizeof(*workers));
	if (!o->slots || !workers)
		return error_set(err, -ENOMEM, "out of memory");
	r = steer_workers_read(steer, o->n_slots, workers);
	if (r < 0)
		return error_set(err, r, "can't read the slots: %s", strerror(-r));
	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		o->slots[slot].worker = workers[slot];
		for (unsigned int e = 0; e < steer->service->n_endpoints; e++)
			o->slots[slot].cookies[e] = steer_socks_cookie(steer, e, slot);
	}
	return 0;
}

/* The listener of a slot by which its owner is told: the first that sock_diag showed. */
static const struct listener *observe_slot_listener(const struct observed *o, unsigned int slot)
{
	const struct listener *listener = NULL;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX && !listener; e++)
		if (o->slots[slot].cookies[e])
			listener = observed_listener(o, o->slots[slot].cookies[e]);
	return listener;
}

/* Puts the listener into the slot, where a killed swap meant it to be. */
static int observe_finish_put(struct service *service, unsigned int endpoint, unsigned int slot,
                              uint16_t account, const struct listener *listener, struct error *err)
{
	const struct rpd_member member = {
	        .slot = slot,
	        .version = steer_schedule(&service->steer)->slots[slot].version,
	        .endpoint = endpoint,
	        .account = account,
	};
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_close_ int fd = -1;
	size_t n;
	int r = proc_holders_find(listener, 1, &holders, &n, err);

	if (r < 0 || n == 0)
		return r;
	fd = proc_duplicate_fd(holders[0].pid, holders[0].fd, listener->inode, err);
	if (fd < 0)
		return fd == -ESRCH || fd == -EBADF ? 0 : fd;
	r = steer_members_set(&service->steer, listener->cookie, &member);
	if (r == 0)
		r = steer_attach(&service->steer, endpoint, fd);
	if (r == 0)
		r = steer_socks_put(&service->steer, endpoint, slot, fd);
	if (r == 0 || r == -EBUSY || r == -EINVAL) /* somebody's already; listens no more */
		return 0;
	return error_set(err, r, "can't complete the swap of slot %u: %s", slot, strerror(-r));
}

/*
 * A swap first writes who is meant to be in the slot, then puts the listeners, one endpoint after
 * the other. Where it was killed between the two, the meant one is put if it still listens; if it
 * doesn't, what is in force is what is meant.
 */
static int observe_repair_slot(struct service *service, struct observed *o, unsigned int slot,
                               struct error *err)
{
	struct observed_slot *it = &o->slots[slot];
	bool changed = false;
	int r = 0;

	for (unsigned int e = 0; r == 0 && e < service->steer.service->n_endpoints; e++) {
		uint64_t meant = it->worker.cookies[e], in_force = it->cookies[e];
		const struct listener *listener = meant ? observed_listener(o, meant) : NULL;

		if (meant == in_force)
			continue;
		/* Of a worker that is replaced by one which doesn't listen there. */
		if (!meant && service_is_run(service)) {
			steer_socks_clear(&service->steer, e, slot);
			it->cookies[e] = 0;
		}
		if (listener) {
			r = observe_finish_put(service, e, slot, it->worker.account, listener, err);
			it->cookies[e] = steer_socks_cookie(&service->steer, e, slot);
		}
		if (it->cookies[e] && it->cookies[e] != meant) {
			it->worker.cookies[e] = it->cookies[e];
			changed = true;
		}
	}
	if (r == 0 && changed && steer_workers_set(&service->steer, slot, &it->worker) < 0)
		r = error_set(err, -EIO, "can't write slot %u", slot);
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		it->live |= it->cookies[e] != 0;
	return r;
}

/* By the index of the listeners. The caller frees it; NULL: out of memory. */
static bool *observe_find_admitted(const struct service *service, const struct observed *o)
{
	bool *admitted = calloc(o->n_listeners + 1, sizeof(*admitted));

	for (unsigned int slot = 0; admitted && slot < o->n_slots; slot++)
		for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
			const struct listener *it = observed_listener(o, o->slots[slot].cookies[e]);

			if (it)
				admitted[it - o->listeners] = true;
		}
	return admitted;
}

static bool observe_has_admitted(const struct observed *o, unsigned int endpoint)
{
	for (unsigned int slot = 0; slot < o->n_slots; slot++)
		if (o->slots[slot].cookies[endpoint])
			return true;
	return false;
}

/* Whether it is, or was until a moment ago, where the supervisor parks connections. */
static bool observe_is_parking(const struct service *service, uint64_t cookie)
{
	struct rpd_member member;

	return steer_members_get(&service->steer, cookie, &member) == 0 &&
	       member.slot == RPD_SLOT_PARKING;
}

static int observe_find_strangers(const struct service *service, struct observed *o,
                                  struct error *err)
{
	_cleanup_free_ bool *admitted = observe_find_admitted(service, o);

	o->strangers = calloc(o->n_listeners + 1, sizeof(*o->strangers));
	if (!o->strangers || !admitted)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < o->n_listeners; i++) {
		const struct listener *listener = &o->listeners[i];
		unsigned int e = observed_endpoint(service, listener);
		struct rpd_member member;

		if (admitted[i])
			continue;
		if (observe_is_parking(service, listener->cookie)) {
			o->n_parked += listener->queue;
			continue;
		}
		/* A watcher that is killed may have noted one for a slot that never came to be. */
		o->strangers[o->n_strangers++] = (struct observed_stranger){
		        .endpoint = e,
		        .listener = listener,
		        .retired = steer_members_get(&service->steer, listener->cookie, &member) ==
		                           0 &&
		                   member.slot < o->n_slots,
		        .alone = !observe_has_admitted(o, e),
		};
	}
	return 0;
}

/* Looks up who has the listeners of those slots open whose recorded worker doesn't serve them any
 * more, or was never seen to: a scan of all processes, so only if there are any. */
static int observe_find_holders(struct observed *o, enum observe_depth depth, struct holder **ret,
                                size_t *ret_n, struct error *err)
{
	_cleanup_free_ struct listener *unclear = calloc(o->n_slots + 1, sizeof(*unclear));
	size_t n = 0;

	if (!unclear)
		return error_set(err, -ENOMEM, "out of memory");
	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		const struct listener *listener = observe_slot_listener(o, slot);
		const struct rpd_worker *worker = &o->slots[slot].worker;
		bool clear = worker->evidence > EVIDENCE_HOLDS || depth == OBSERVE_KNOWN;

		if (!listener || (clear && proc_still_serves(worker, listener->inode)))
			continue;
		o->slots[slot].stalled = true; /* until a holder is found that serves it */
		unclear[n++] = *listener;
	}
	return n ? proc_holders_find(unclear, n, ret, ret_n, err) : 0;
}

/* The holders of one listener: a run of the rows, which are in the order of the inodes. */
static const struct holder *observe_holders_of(const struct holder *holders, size_t n,
                                               uint32_t inode, size_t *ret_n)
{
	size_t first = 0, end;

	if (n == 0) {
		*ret_n = 0;
		return NULL;
	}
	while (first < n && holders[first].inode != inode)
		first++;
	for (end = first; end < n && holders[end].inode == inode;)
		end++;
	*ret_n = end - first;
	return holders + first;
}

/* Takes note of the process that serves the slot's listener now, if any does. */
static int observe_update_owner(struct service *service, struct observed *o, unsigned int slot,
                                const struct holder *holders, size_t n, struct error *err)
{
	struct rpd_worker *worker = &o->slots[slot].worker;
	const struct holder *now;
	int r;

	holders = observe_holders_of(holders, n, observe_slot_listener(o, slot)->inode, &n);
	now = listener_owner_find_current(worker, holders, n);
	if (!now)
		return 0;
	o->slots[slot].stalled = false;
	/* That it polled before is worth more than that it doesn't at this moment. */
	if (now->pid == worker->pid && now->start_time == worker->start_time &&
	    now->evidence <= worker->evidence)
		return 0;
	admit_set_owner(worker, now);
	r = steer_workers_set(&service->steer, slot, worker);
	return r < 0 ? error_set(err, r, "can't write slot %u: %s", slot, strerror(-r)) : 0;
}

/* Nobody may have noted its end: its supervisor may have died before. */
static bool observe_is_up_without_listener(const struct rpd_worker *worker)
{
	char comm[RPD_COMM_MAX];
	uint64_t start_time;
	uint32_t ppid;

	return worker->run == RPD_RUN_UP && worker->pid && worker->fd < 0 &&
	       proc_identify(worker->pid, &start_time, &ppid, comm) == 0 &&
	       start_time == worker->start_time;
}

static void observe_complete(struct observed_slot *slot)
{
	const struct rpd_worker *worker = &slot->worker;

	slot->there = slot->live || observe_is_up_without_listener(worker);
	slot->main.pid = worker->pid;
	slot->main.start_time = worker->start_time;
	memcpy(slot->main.comm, worker->comm, sizeof(slot->main.comm));
}

int observe(struct service *service, enum observe_depth depth, struct observed *ret,
            struct error *err)
{
	_cleanup_observed_ struct observed o = {};
	_cleanup_free_ struct holder *holders = NULL;
	size_t n_holders = 0;
	int r = observe_find_listeners(service, &o, err);

	if (r == 0)
		r = observe_read_slots(service, &o, err);
	for (unsigned int slot = 0; r == 0 && slot < o.n_slots; slot++)
		r = observe_repair_slot(service, &o, slot, err);
	if (r == 0)
		r = observe_find_strangers(service, &o, err);
	if (r == 0)
		r = observe_find_holders(&o, depth, &holders, &n_holders, err);
	for (unsigned int slot = 0; r == 0 && slot < o.n_slots; slot++)
		if (o.slots[slot].stalled)
			r = observe_update_owner(service, &o, slot, holders, n_holders, err);
	if (r < 0)
		return r;
	for (unsigned int slot = 0; slot < o.n_slots; slot++)
		observe_complete(&o.slots[slot]);
	*ret = o;
	memset(&o, 0, sizeof(o)); /* handed on */
	return 0;
}

int observe_strangers(struct observed *o, struct error *err)
{
	_cleanup_free_ struct listener *listeners = calloc(o->n_strangers + 1, sizeof(*listeners));
	int r;

	if (!listeners)
		return error_set(err, -ENOMEM, "out of memory");
	if (o->n_strangers == 0 || o->holders)
		return 0;
	for (size_t i = 0; i < o->n_strangers; i++)
		listeners[i] = *o->strangers[i].listener;
	r = proc_holders_find(listeners, o->n_strangers, &o->holders, &o->n_holders, err);
	for (size_t i = 0; r == 0 && i < o->n_strangers; i++) {
		const struct holder *holders, *owner;
		size_t n;

		holders = observe_holders_of(o->holders, o->n_holders, listeners[i].inode, &n);
		owner = roster_find_owner(holders, n);
		if (owner)
			o->strangers[i].owner = *owner;
	}
	return r;
}

/* The main process of one of the cgroups, if the one that is in the slot is in that. Who is being
 * started for the slot has one as well, and who left it. */
static void observe_find_main(const char *service_cgroup, const char *name, struct observed *o)
{
	_cleanup_free_ uint32_t *pids = NULL;
	_cleanup_close_ int fd = -1;
	unsigned int slot, number;
	size_t n = 0;

	if (sscanf(name, "%u-%u", &slot, &number) != 2 || slot >= o->n_slots)
		return;
	fd = cgroup_open(service_cgroup, name);
	if (fd < 0 || cgroup_list_processes(fd, &pids, &n) < 0)
		return;
	for (size_t i = 0; n > 1 && i < n; i++)
		if (pids[i] == o->slots[slot].worker.pid) {
			proc_find_oldest(pids, n, &o->slots[slot].main);
			return;
		}
}

void observe_mains(const struct service *service, struct observed *o)
{
	char cgroup[PATH_MAX];
	char **names = NULL;
	size_t n = 0;

	if (!service_is_run(service) || !run_dir_cgroup(service->pins.service, cgroup) ||
	    cgroup_list_children(cgroup, &names, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		observe_find_main(cgroup, names[i], o);
		free(names[i]);
	}
	free(names);
}
