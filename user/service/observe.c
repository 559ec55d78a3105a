/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/listener_owner.h"
#include "core/process.h"
#include "core/roster.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/steer.h"
#include "kern/steer_borrowed.h"
#include "kern/steer_members.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/service_endpoint.h"
#include "service/service_holders.h"
#include "service/sockets.h"

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
		if (service_endpoint_index(service, &o->listeners[i].endpoint) >= 0)
			o->listeners[kept++] = o->listeners[i];
	o->n_listeners = kept;
	observed_sort_listeners(o);
	return 0;
}

/* Whether the slot can have a listener of endpoint @e: without one in the slot's row, only one that
 * a killed command has not taken out yet. It was in the slot when the ring was built. */
static bool observe_may_have_listener(const struct observed *o, const struct rpd_schedule *schedule,
                                      unsigned int slot, unsigned int e)
{
	const struct rpd_slot *it = &schedule->slots[slot];

	return o->workers[slot].cookies[e] ||
	       (it->state != RPD_SLOT_EMPTY && !(it->flags & RPD_SLOT_DEAD));
}

static int observe_read_slots(const struct service *service, struct observed *o, struct error *err)
{
	const struct steer *steer = &service->steer;
	int r;

	o->n_slots = steer_schedule(steer)->n_slots;
	o->slots = calloc(o->n_slots + 1, sizeof(*o->slots));
	o->workers = calloc(o->n_slots + 1, sizeof(*o->workers));
	if (!o->slots || !o->workers)
		return error_set(err, -ENOMEM, "out of memory");
	r = steer_workers_read(steer, o->n_slots, o->workers);
	if (r < 0)
		return error_set(err, r, "can't read the slots: %s", strerror(-r));
	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		o->slots[slot].worker = &o->workers[slot];
		for (unsigned int e = 0; e < steer->service->n_endpoints; e++)
			if (observe_may_have_listener(o, steer_schedule(steer), slot, e))
				o->slots[slot].cookies[e] = steer_socks_cookie(steer, e, slot);
	}
	return 0;
}

/* The listener that identifies a slot's owner: the slot's first one that sock_diag has listed. */
static const struct listener *observe_slot_listener(const struct observed *o, unsigned int slot)
{
	const struct listener *listener = NULL;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX && !listener; e++)
		if (o->slots[slot].cookies[e])
			listener = observed_listener(o, o->slots[slot].cookies[e]);
	return listener;
}

/* The name of the service if it is run, or NULL. */
static const char *observe_run_name(const struct service *service)
{
	return service_is_run(service) ? service->pins.service : NULL;
}

/* Puts the listener into the slot of its worker, which a killed command has begun to do. */
static int observe_finish_put(struct service *service, unsigned int endpoint, unsigned int slot,
                              uint16_t generation, const struct listener *listener,
                              struct error *err)
{
	const struct rpd_member member = {
	        .slot = slot,
	        .version = steer_schedule(&service->steer)->slots[slot].version,
	        .endpoint = endpoint,
	        .account = generation,
	};
	_cleanup_free_ struct holder *holders = NULL;
	bool slots[RPD_SLOT_MAX] = {};
	_cleanup_listener_ int fd = -1;
	size_t n;
	int r;

	slots[slot] = true;
	r = service_holders_find(observe_run_name(service), slots, listener, 1, &holders, &n, err);
	if (r < 0 || n == 0)
		return r;
	fd = proc_duplicate_fd(holders[0].id.pid, holders[0].fd, listener->inode, err);
	if (fd < 0)
		return fd == -ESRCH || fd == -EBADF ? 0 : fd;
	r = steer_members_set(&service->steer, listener->cookie, &member);
	if (r == 0)
		r = steer_borrowed_attach(&service->steer, endpoint, fd, holders[0].id.pid);
	if (r == 0)
		r = steer_socks_put(&service->steer, endpoint, slot, fd);
	/* -EBUSY: it is in another slot already. -EINVAL: it no longer listens. */
	if (r == 0 || r == -EBUSY || r == -EINVAL)
		return 0;
	return error_set(err, r, "can't complete slot %u: %s", slot, steer_borrowed_why(r));
}

/*
 * If the worker of a slot listens on one more endpoint, the listener is first written to the slot's
 * row, then put into the socket array. If a command was killed in between, they differ: then the
 * listener in the row is put if it still listens; otherwise the row gets the listener in the array.
 */
static int observe_repair_slot(struct service *service, struct observed *o, unsigned int slot,
                               struct error *err)
{
	struct observed_slot *it = &o->slots[slot];
	bool changed = false;
	int r = 0;

	for (unsigned int e = 0; r == 0 && e < service->steer.service->n_endpoints; e++) {
		uint64_t meant = it->worker->cookies[e], in_force = it->cookies[e];
		const struct listener *listener = meant ? observed_listener(o, meant) : NULL;

		if (meant == in_force || !steer_has_endpoint(&service->steer, e))
			continue;
		/* The worker has been taken out, or has closed this listener. */
		if (!meant && service_is_run(service)) {
			steer_socks_clear(&service->steer, e, slot);
			it->cookies[e] = 0;
		}
		if (listener) {
			r = observe_finish_put(service, e, slot, it->worker->account, listener,
			                       err);
			it->cookies[e] = steer_socks_cookie(&service->steer, e, slot);
		}
		if (it->cookies[e] && it->cookies[e] != meant) {
			it->worker->cookies[e] = it->cookies[e];
			changed = true;
		}
	}
	if (r == 0 && changed && steer_workers_set(&service->steer, slot, it->worker) < 0)
		r = error_set(err, -EIO, "can't write slot %u", slot);
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		it->live |= it->cookies[e] != 0;
	return r;
}

/* Which of the listeners are in a slot, by index. The caller frees it; NULL: out of memory. */
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

/* Reads the members. A listener that was in no slot yet when its command was killed is none. */
static int observe_read_members(struct service *service, struct observed *o, struct error *err)
{
	int r = steer_members_list(&service->steer, &o->members);
	size_t kept = 0;

	if (r < 0)
		return error_set(err, r, "can't read the members: %s", strerror(-r));
	for (size_t i = 0; i < o->members.n; i++) {
		struct steer_member *it = &o->members.list[i];

		if (it->row.pending && observed_slot_of(o, it->cookie) < 0) {
			steer_members_remove(&service->steer, it->cookie);
			continue;
		}
		if (it->row.pending) {
			it->row.pending = false;
			steer_members_set(&service->steer, it->cookie, &it->row);
		}
		o->members.list[kept++] = *it;
	}
	o->members.n = kept;
	return 0;
}

static int observe_find_foreign(const struct service *service, struct observed *o,
                                struct error *err)
{
	_cleanup_free_ bool *admitted = observe_find_admitted(service, o);

	o->foreign = calloc(o->n_listeners + 1, sizeof(*o->foreign));
	if (!o->foreign || !admitted)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < o->n_listeners; i++) {
		const struct listener *listener = &o->listeners[i];
		unsigned int e = service_endpoint_index(service, &listener->endpoint);
		const struct rpd_member *member = steer_members_find(&o->members, listener->cookie);

		if (admitted[i])
			continue;
		/* The supervisor parks connections in it, or did until a moment ago. */
		if (member && member->slot == RPD_SLOT_PARKING) {
			o->n_parked += listener->queue;
			continue;
		}
		/* A killed watcher may have recorded a listener for a slot that was never added. */
		o->foreign[o->n_foreign++] = (struct observed_foreign){
		        .endpoint = e,
		        .listener = listener,
		        .former = member && member->slot < o->n_slots,
		        .alone = !observed_has_worker(o, e),
		};
	}
	return 0;
}

/* Finds the processes that have the listeners open. Of a service that is run, only those of the
 * stalled slots count. */
static int observe_search(const struct service *service, const struct observed *o,
                          const struct listener *listeners, size_t n, struct holder **ret,
                          size_t *ret_n, struct error *err)
{
	bool slots[RPD_SLOT_MAX] = {};

	for (unsigned int slot = 0; slot < o->n_slots; slot++)
		slots[slot] = o->slots[slot].stalled;
	return service_holders_find(observe_run_name(service), slots, listeners, n, ret, ret_n,
	                            err);
}

/* Whether the slot's process, if it still serves the listener, need not be searched for. */
static bool observe_is_clear(const struct observed *o, unsigned int slot, enum observe_depth depth)
{
	return observe_slot_listener(o, slot) &&
	       (o->slots[slot].worker->evidence > EVIDENCE_HOLDS || depth == OBSERVE_KNOWN);
}

/* Whether the iterator over the listeners has found that the slot's process serves this one. */
static bool observe_is_served(const struct observed *o, const struct listener *listener)
{
	const struct rpd_group_member *row =
	        listener ? groups_find(o->groups, o->n_groups, listener->cookie) : NULL;

	return row && row->served;
}

/* Marks a slot if its recorded process no longer serves the listener (or, if not OBSERVE_KNOWN, was
 * never seen to poll it). Finds the processes that have the listeners of marked slots open.
 * Searches only if a slot is marked. */
static int observe_find_holders(const struct service *service, struct observed *o,
                                enum observe_depth depth, struct holder **ret, size_t *ret_n,
                                struct error *err)
{
	_cleanup_free_ struct listener *unclear = calloc(o->n_slots + 1, sizeof(*unclear));
	_cleanup_free_ struct proc_serving *clear = calloc(o->n_slots + 1, sizeof(*clear));
	size_t n = 0, n_clear = 0, at = 0;

	if (!unclear || !clear)
		return error_set(err, -ENOMEM, "out of memory");
	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		const struct listener *listener = observe_slot_listener(o, slot);

		if (observe_is_clear(o, slot, depth) && !observe_is_served(o, listener))
			clear[n_clear++] = (struct proc_serving){.worker = o->slots[slot].worker,
			                                         .inode = listener->inode};
	}
	proc_still_serve(clear, n_clear);
	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		const struct listener *listener = observe_slot_listener(o, slot);

		if (!listener || (observe_is_clear(o, slot, depth) &&
		                  (observe_is_served(o, listener) || clear[at++].yes)))
			continue;
		o->slots[slot].stalled = true; /* until a process is found that serves it */
		unclear[n++] = *listener;
	}
	return n ? observe_search(service, o, unclear, n, ret, ret_n, err) : 0;
}

/* Records the process that serves the slot's listener now, if there is one. */
static int observe_update_owner(struct service *service, struct observed *o, unsigned int slot,
                                const struct holder *holders, size_t n, struct error *err)
{
	struct rpd_worker *worker = o->slots[slot].worker;
	const struct holder *now;
	int r;

	holders = roster_find_holders(holders, n, observe_slot_listener(o, slot)->inode, &n);
	now = listener_owner_find_current(worker, holders, n);
	if (!now)
		return 0;
	o->slots[slot].stalled = false;
	/* Keeps better evidence from before: the process may not be polling at this moment. */
	if (process_same(now->id, process_of_row(worker)) && now->evidence <= worker->evidence)
		return 0;
	listener_owner_note(worker, now);
	r = steer_workers_set(&service->steer, slot, worker);
	return r < 0 ? error_set(err, r, "can't write slot %u: %s", slot, strerror(-r)) : 0;
}

/* The row may name a main process that has ended, if the supervisor died before it. */
static bool observe_is_up_without_listener(const struct rpd_worker *worker)
{
	struct process now;

	return worker->run == RPD_RUN_UP && worker->pid && worker->fd < 0 &&
	       proc_identify(worker->pid, &now) == 0 &&
	       process_same(now.id, process_of_row(worker));
}

static void observe_complete(struct observed_slot *slot)
{
	const struct rpd_worker *worker = slot->worker;

	slot->there = slot->live || observe_is_up_without_listener(worker);
	if (worker->main_pid) {
		slot->main.id = (struct process_id){worker->main_pid, worker->main_start};
		memcpy(slot->main.comm, worker->main_comm, sizeof(slot->main.comm));
	} else {
		slot->main.id = process_of_row(worker);
		memcpy(slot->main.comm, worker->comm, sizeof(slot->main.comm));
	}
}

int observe(struct service *service, enum observe_depth depth, struct observed *ret,
            struct error *err)
{
	_cleanup_observed_ struct observed o = {};
	_cleanup_free_ struct holder *holders = NULL;
	size_t n_holders = 0;
	struct error ignored;
	int r = observe_find_listeners(service, &o, err);

	if (r == 0 && service->reachable)
		groups_read(&service->groups, &o.groups, &o.n_groups, &ignored);
	if (r == 0)
		r = observe_read_slots(service, &o, err);
	for (unsigned int slot = 0; r == 0 && slot < o.n_slots; slot++)
		r = observe_repair_slot(service, &o, slot, err);
	if (r == 0)
		r = observe_read_members(service, &o, err);
	if (r == 0)
		r = observe_find_foreign(service, &o, err);
	if (r == 0)
		r = observe_find_holders(service, &o, depth, &holders, &n_holders, err);
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

int observe_foreign(struct observed *o, struct error *err)
{
	_cleanup_free_ struct listener *listeners = calloc(o->n_foreign + 1, sizeof(*listeners));
	int r;

	if (!listeners)
		return error_set(err, -ENOMEM, "out of memory");
	if (o->n_foreign == 0 || o->holders)
		return 0;
	for (size_t i = 0; i < o->n_foreign; i++)
		listeners[i] = *o->foreign[i].listener;
	r = proc_holders_find(listeners, o->n_foreign, &o->holders, &o->n_holders, err);
	for (size_t i = 0; r == 0 && i < o->n_foreign; i++) {
		const struct holder *holders, *owner;
		size_t n;

		holders = roster_find_holders(o->holders, o->n_holders, listeners[i].inode, &n);
		owner = roster_find_owner(holders, n);
		if (owner)
			o->foreign[i].owner = *owner;
	}
	return r;
}
