/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers' listeners, and the slots that they come into and leave. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/edit.h"
#include "core/endpoint.h"
#include "core/roster.h"
#include "core/schedule.h"
#include "daemon/admit.h"
#include "daemon/change.h"
#include "daemon/observe.h"
#include "daemon/run.h"
#include "daemon/service.h"
#include "kern/cgroup.h"
#include "kern/events.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"

/* --- which listeners count */

static bool is_fixed(const struct run_worker *w, uint64_t cookie)
{
	for (size_t i = 0; i < w->n_fixed; i++)
		if (w->fixed[i] == cookie)
			return true;
	return false;
}

static bool is_placed(const struct run_worker *w, uint64_t cookie)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e] == cookie)
			return true;
	return false;
}

/* Whether it is one of those that --listen names; with none named, one on a fixed port. */
static bool is_meant(const struct run_worker *w, const struct listener *listener)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; i < config->n_listens; i++) {
		const struct rpd_endpoint *it = &config->listens[i];

		if (it->port == listener->endpoint.port &&
		    (!it->family || (it->family == listener->endpoint.family &&
		                     !memcmp(it->addr, listener->endpoint.addr, 16))))
			return true;
	}
	return config->n_listens == 0 &&
	       (is_fixed(w, listener->cookie) || is_placed(w, listener->cookie));
}

int run_place_listeners(struct run_worker *w, struct listener **ret, size_t *ret_n,
                        struct error *err)
{
	struct listener *listeners;
	size_t n, kept = 0;
	int r = sockdiag_listeners(0, &listeners, &n, err);

	if (r < 0)
		return r;
	/* Those passed to it are of our making, and so of our cgroup. */
	for (size_t i = 0; i < n; i++)
		if ((listeners[i].cgroup == w->cgroup_id || is_fixed(w, listeners[i].cookie)) &&
		    is_meant(w, &listeners[i]))
			listeners[kept++] = listeners[i];
	*ret = listeners;
	*ret_n = kept;
	return 0;
}

/* --- endpoints */

static int endpoint_index(const struct service *service, const struct rpd_endpoint *endpoint)
{
	const struct rpd_service *info = service->steer.service;

	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (endpoint_equal(&info->endpoints[e], endpoint))
			return e;
	return -1;
}

static int add_endpoints(struct supervisor *sup, struct service *service,
                         const struct listener *listeners, size_t n, struct error *err)
{
	bool added = false;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		char text[ENDPOINT_TEXT_MAX];

		if (endpoint_index(service, &listeners[i].endpoint) >= 0)
			continue;
		r = service_add_endpoint(service, &listeners[i].endpoint, err);
		if (r < 0)
			break;
		run_say(sup, "serving %s",
		        endpoint_format(&listeners[i].endpoint, text, sizeof(text)));
		added = true;
	}
	if (r >= 0 && added && !sup->parking.closed)
		r = parking_open(&sup->parking, service, err);
	return r < 0 ? r : 0;
}

int run_place_endpoints(struct run_worker *w, const struct listener *listeners, size_t n,
                        struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, w->sup->name, err);
	return r < 0 ? r : add_endpoints(w->sup, &service, listeners, n, err);
}

/* --- into a slot */

/* The first listener of each endpoint, which is the one with the lowest cookie. */
static void choose_listeners(struct run_worker *w, const struct service *service,
                             const struct listener *listeners, size_t n, struct newcomer *ret)
{
	for (size_t i = 0; i < n; i++) {
		char text[ENDPOINT_TEXT_MAX];
		int e = endpoint_index(service, &listeners[i].endpoint);

		if (e < 0)
			continue;
		if (!ret->listeners[e])
			ret->listeners[e] = &listeners[i];
		else
			run_say(w->sup,
			        "slot %u: pid %u has several listeners on %s; the first one gets "
			        "the connections",
			        w->slot, w->pid,
			        endpoint_format(&listeners[i].endpoint, text, sizeof(text)));
	}
}

/* Who of the worker's processes serves its listeners: the one that serves the first, and has the
 * others open as well. */
static int choose_owner(struct run_worker *w, struct newcomer *newcomer,
                        const struct holder *holders, size_t n, struct error *err)
{
	const struct holder *owner = NULL;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		_cleanup_free_ struct holder *rows = calloc(n + 1, sizeof(*rows));
		size_t n_rows = 0;
		bool found = false;

		if (!rows)
			return error_set(err, -ENOMEM, "out of memory");
		if (!newcomer->listeners[e])
			continue;
		for (size_t h = 0; h < n; h++)
			if (holders[h].inode == newcomer->listeners[e]->inode)
				rows[n_rows++] = holders[h];
		if (!owner && roster_owner(rows, n_rows)) {
			newcomer->owner = *roster_owner(rows, n_rows);
			owner = &newcomer->owner;
		}
		for (size_t h = 0; owner && h < n_rows; h++)
			if (rows[h].pid == owner->pid) {
				newcomer->fds[e] = rows[h].fd;
				found = true;
			}
		if (!found)
			return error_set(err, -ESRCH,
			                 "no process of the worker has all its listeners open");
	}
	return owner ? 0 : error_set(err, -ENOENT, "pid %u listens on nothing", w->pid);
}

static int find_newcomer(struct run_worker *w, const struct service *service,
                         const struct listener *listeners, size_t n, struct newcomer *ret,
                         struct error *err)
{
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n_pids = 0, n_holders = 0;
	int r;

	choose_listeners(w, service, listeners, n, ret);
	r = cgroup_processes(w->cgroup_fd, &pids, &n_pids);
	if (r < 0)
		return error_set(err, r, "can't read cgroup %s: %s", w->cgroup_name, strerror(-r));
	r = proc_holders_among(pids, n_pids, listeners, n, &holders, &n_holders, err);
	return r < 0 ? r : choose_owner(w, ret, holders, n_holders, err);
}

/* Its listener is where probes found it; a socket is in one array, and once only. */
static void end_probing(struct run_worker *w, struct service *service)
{
	if (!w->probing_listener)
		return;
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		steer_clear(&service->steer, e, RPD_SLOT_PROBE + w->number % RPD_PROBE_MAX);
	w->probing_listener = false;
}

/* Sets the slot up for the worker, in a draft of what is in force. */
static int draft_slot(const struct run_worker *w, const struct service *service,
                      const struct observed *observed, struct rpd_schedule *ret, struct error *err)
{
	const struct slots slot = {.n = 1, .at = {w->slot}};
	const char *label = w->plan->config.label;
	int r;

	change_begin(service, observed, ret);
	r = edit_fill(ret, w->slot, label, err);
	if (r == 0 && strcmp(ret->versions[ret->slots[w->slot].version].label, label) != 0)
		r = edit_label(ret, &slot, label, err);
	return r;
}

/* The slot's row and its listeners are those of the worker; now the schedule, with what is there
 * now. */
static int put_in_force(struct run_worker *w, struct service *service, struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	struct rpd_schedule draft;
	struct rpd_worker row;
	int r = observe(service, OBSERVE_KNOWN, &observed, err);

	if (r == 0)
		r = draft_slot(w, service, &observed, &draft, err);
	if (r == 0)
		r = change_commit(service, &observed, &draft, true, "run", err);
	if (r == 0)
		r = steer_worker_get(&service->steer, w->slot, &row);
	if (r < 0)
		return r;
	memcpy(w->cookies, row.cookies, sizeof(w->cookies));
	w->account = row.account;
	return 0;
}

int run_place_admit(struct run_worker *w, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_ struct service service;
	struct newcomer newcomer = {};
	struct rpd_schedule draft;
	size_t n = 0;
	int r;

	service_init(&service);
	r = service_open(&service, w->sup->name, err);
	if (r == 0)
		r = run_place_listeners(w, &listeners, &n, err);
	if (r == 0)
		r = add_endpoints(w->sup, &service, listeners, n, err);
	if (r == 0)
		r = find_newcomer(w, &service, listeners, n, &newcomer, err);
	if (r == 0)
		r = observe(&service, OBSERVE_KNOWN, &observed, err);
	if (r == 0)
		r = draft_slot(w, &service, &observed, &draft, err);
	if (r < 0)
		return r;
	end_probing(w, &service);
	r = admit(&service, w->slot, &newcomer, draft.slots[w->slot].version, err);
	if (r == 0)
		r = put_in_force(w, &service, err);
	if (r < 0)
		return r;
	events_note(&service.steer,
	            w->sup->slots[w->slot].current ? RPD_EVENT_swapped : RPD_EVENT_admitted,
	            w->slot, newcomer.owner.pid, newcomer.owner.comm);
	return 0;
}

/* --- out of a slot */

/* What is meant to be there first, then what is: see daemon/observe.c. */
static int empty_slot(struct service *service, unsigned int slot, struct error *err)
{
	struct rpd_worker row;
	int r = steer_worker_get(&service->steer, slot, &row);

	memset(row.cookies, 0, sizeof(row.cookies));
	if (r == 0)
		r = steer_worker_set(&service->steer, slot, &row);
	for (unsigned int e = 0; r == 0 && e < service->steer.service->n_endpoints; e++)
		r = steer_clear(&service->steer, e, slot);
	return r < 0 ? error_set(err, r, "can't empty slot %u: %s", slot, strerror(-r)) : 0;
}

/* Puts what is there now in force. */
static int refresh(struct service *service, struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	struct rpd_schedule draft;
	int r = observe(service, OBSERVE_KNOWN, &observed, err);

	if (r < 0)
		return r;
	change_begin(service, &observed, &draft);
	return change_commit(service, &observed, &draft, true, "run", err);
}

int run_place_withdraw(struct supervisor *sup, unsigned int slot, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, sup->name, err);
	if (r == 0)
		r = empty_slot(&service, slot, err);
	if (r == 0)
		r = refresh(&service, err);
	if (r == 0)
		events_note(&service.steer, RPD_EVENT_withdrawn, slot, 0, NULL);
	return r;
}

/* --- what is noted of a slot */

void run_place_note(struct supervisor *sup, unsigned int slot)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	service_init(&service);
	if (service_open(&service, sup->name, &ignored) < 0)
		return;
	steer_worker_set_run(&service.steer, slot, sup->slots[slot].run,
	                     sup->slots[slot].restarts);
	if (sup->slots[slot].run == RPD_RUN_FAILED)
		events_note(&service.steer, RPD_EVENT_failed, slot, 0, NULL);
}

int run_place_resize(struct supervisor *sup, unsigned int n, struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_ struct service service;
	struct rpd_schedule draft;
	int r;

	service_init(&service);
	r = service_open(&service, sup->name, err);
	for (unsigned int slot = n; r == 0 && slot < sup->n_slots; slot++)
		r = empty_slot(&service, slot, err);
	if (r == 0)
		r = observe(&service, OBSERVE_KNOWN, &observed, err);
	if (r < 0)
		return r;
	change_begin(&service, &observed, &draft);
	for (unsigned int slot = n; slot < draft.n_slots; slot++)
		memset(&draft.slots[slot], 0, sizeof(draft.slots[slot]));
	draft.n_slots = n;
	service.steer.service->n_workers = n;
	return change_commit(&service, &observed, &draft, true, "scale", err);
}

/* --- parking */

static bool anybody_is_up(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current)
			return true;
	return false;
}

static int on_park_timeout(sd_event_source *source, uint64_t now, void *data)
{
	_cleanup_service_ struct service service;
	struct supervisor *sup = data;
	struct error err = {};
	int n;

	(void)source;
	(void)now;
	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	service_init(&service);
	if (service_open(&service, sup->name, &err) < 0)
		return 0;
	n = parking_give_up(&sup->parking, &service, &err);
	if (n < 0)
		run_say(sup, "%s", err.text);
	else
		run_say(sup,
		        "no worker is there after %g s: %d waiting connections were reset, new "
		        "ones are refused until one is",
		        (double)sup->plan->config.park_timeout / NS_PER_S, n);
	return 0;
}

/* Somebody is in a slot: who waits goes to him. */
static void unpark(struct supervisor *sup)
{
	_cleanup_service_ struct service service;
	struct error err = {};
	int r, n = 0;

	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	if (!sup->parking.closed && parking_queued(&sup->parking) == 0)
		return;
	service_init(&service);
	r = service_open(&service, sup->name, &err);
	if (r == 0 && sup->parking.closed)
		r = parking_open(&sup->parking, &service, &err);
	else if (r == 0)
		r = n = parking_hand_over(&sup->parking, &service, &err);
	if (r < 0)
		run_say(sup, "%s", err.text);
	else if (n)
		run_say(sup, "%d connections that waited were handed over", n);
}

void run_place_park(struct supervisor *sup)
{
	if (anybody_is_up(sup)) {
		unpark(sup);
		return;
	}
	if (sup->stopping || sup->park_timer || sup->parking.closed)
		return;
	sd_event_add_time_relative(sup->loop, &sup->park_timer, CLOCK_MONOTONIC,
	                           sup->plan->config.park_timeout / 1000, 0, on_park_timeout, sup);
}
