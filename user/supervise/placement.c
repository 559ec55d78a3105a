/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers' listeners, and the slots that they come into and leave. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "core/ready_rule.h"
#include "core/roster.h"
#include "service/admit.h"
#include "service/schedule_commit.h"
#include "service/observe.h"
#include "service/slot_replace.h"
#include "supervise/types.h"
#include "service/service.h"
#include "service/service_endpoint.h"
#include "kern/cgroup.h"
#include "kern/events.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "kern/proc_holders.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"

/* --- which listeners count */

static bool placement_is_fixed(const struct worker *w, uint64_t cookie)
{
	for (size_t i = 0; i < w->n_fixed; i++)
		if (w->fixed[i] == cookie)
			return true;
	return false;
}

static bool placement_is_placed(const struct worker *w, uint64_t cookie)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e] == cookie)
			return true;
	return false;
}

/* Whether it is one of those that --listen names; with none named, one on a fixed port. */
static bool placement_is_meant(const struct worker *w, const struct listener *listener)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; i < config->n_listens; i++)
		if (endpoint_matches(&listener->endpoint, &config->listens[i]))
			return true;
	return config->n_listens == 0 && (placement_is_fixed(w, listener->cookie) ||
	                                  placement_is_placed(w, listener->cookie));
}

int placement_listeners(struct worker *w, struct listener **ret, size_t *ret_n, struct error *err)
{
	struct listener *listeners;
	size_t n, kept = 0;
	int r = sockdiag_list_listeners(0, &listeners, &n, err);

	if (r < 0)
		return r;
	/* Those passed to it are of our making, or of an earlier supervisor's, and so of its
	 * cgroup. */
	for (size_t i = 0; i < n; i++)
		if ((listeners[i].cgroup == w->cgroup_id ||
		     placement_is_fixed(w, listeners[i].cookie) ||
		     placement_is_placed(w, listeners[i].cookie)) &&
		    placement_is_meant(w, &listeners[i]))
			listeners[kept++] = listeners[i];
	*ret = listeners;
	*ret_n = kept;
	return 0;
}

/* --- endpoints */

static int placement_add_endpoints(struct supervisor *sup, struct service *service,
                                   const struct listener *listeners, size_t n, struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	unsigned int before = info->n_endpoints;
	char text[ENDPOINT_TEXT_MAX];
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		if (service_endpoint_index(service, &listeners[i].endpoint) < 0)
			r = service_endpoint_add(service, &listeners[i].endpoint, err);
	/* Until then the kernel's hash may choose a worker that isn't ready. */
	if (r >= 0 && info->n_endpoints > before && !sup->parking.closed)
		r = parking_open(&sup->parking, service, err);
	for (unsigned int e = before; r >= 0 && e < info->n_endpoints; e++)
		supervisor_log(sup, "serving %s",
		               endpoint_format(&info->endpoints[e], text, sizeof(text)));
	return r < 0 ? r : 0;
}

int placement_endpoints(struct worker *w, const struct listener *listeners, size_t n,
                        struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, w->sup->name, err);
	return r < 0 ? r : placement_add_endpoints(w->sup, &service, listeners, n, err);
}

static bool placement_anybody_is_up(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current)
			return true;
	return false;
}

static bool placement_is_wanted(const struct supervisor *sup, const struct rpd_endpoint *endpoint,
                                unsigned int e)
{
	const struct run_config *config = &sup->plan->config;

	for (size_t i = 0; i < config->n_listens; i++)
		if (config->listens[i].family && config->listens[i].port == endpoint->port)
			return true;
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->cookies[e] && (w->state == WORKER_UP || w->state == WORKER_HELD))
			return true;
	return false;
}

/* The last ones only: the others have their numbers. */
void placement_trim(struct supervisor *sup)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	service_init(&service);
	if (!placement_anybody_is_up(sup) || service_open(&service, sup->name, &ignored) < 0)
		return;
	while (service.steer.service->n_endpoints > 1) {
		const unsigned int e = service.steer.service->n_endpoints - 1;

		if (placement_is_wanted(sup, &service.steer.service->endpoints[e], e))
			return;
		cleanup_close(&sup->parking.fds[e]);
		sup->parking.fds[e] = -1;
		steer_socks_clear_from(&service.steer, e, 0);
		steer_socks_clear(&service.steer, e, RPD_SLOT_PARKING);
		steer_setup_remove_endpoint(&service.steer, &service.pins);
	}
}

/* --- into a slot */

/* The first listener of each endpoint, which is the one with the lowest cookie. */
static void placement_choose_listeners(struct worker *w, const struct service *service,
                                       const struct listener *listeners, size_t n,
                                       struct newcomer *ret)
{
	for (size_t i = 0; i < n; i++) {
		char text[ENDPOINT_TEXT_MAX];
		int e = service_endpoint_index(service, &listeners[i].endpoint);

		if (e < 0)
			continue;
		if (!ret->listeners[e])
			ret->listeners[e] = &listeners[i];
		else
			supervisor_log(
			        w->sup,
			        "slot %u: pid %u has several listeners on %s; the first one gets "
			        "the connections",
			        w->slot, w->pid,
			        endpoint_format(&listeners[i].endpoint, text, sizeof(text)));
	}
}

bool placement_listens(const struct worker *w)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e])
			return true;
	return false;
}

/* Of a worker that listens on nothing it is the main process that is in the slot. */
static int placement_choose_main(const struct worker *w, struct newcomer *newcomer,
                                 struct error *err)
{
	struct holder *owner = &newcomer->owner;

	if (!newcomer->main.id.pid)
		return error_set(err, -ESRCH, "pid %u has ended", w->pid);
	*owner = (struct holder){
	        .id = newcomer->main.id, .ppid = newcomer->main.ppid, .fd = -1, .epfd = -1};
	memcpy(owner->comm, newcomer->main.comm, sizeof(owner->comm));
	return 0;
}

/* Who of the worker's processes serves its listeners: the one that serves the first, and has the
 * others open as well. */
static int placement_choose_owner(struct newcomer *newcomer, const struct holder *holders, size_t n,
                                  struct error *err)
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
		if (!owner && roster_find_owner(rows, n_rows)) {
			newcomer->owner = *roster_find_owner(rows, n_rows);
			owner = &newcomer->owner;
		}
		for (size_t h = 0; owner && h < n_rows; h++)
			if (rows[h].id.pid == owner->id.pid) {
				newcomer->fds[e] = rows[h].fd;
				found = true;
			}
		if (!found)
			return error_set(err, -ESRCH,
			                 "no process of the worker has all its listeners open");
	}
	return owner ? 0 : error_set(err, -ENOENT, "listens on nothing any more");
}

static int placement_find_newcomer(struct worker *w, const struct service *service,
                                   const struct listener *listeners, size_t n, struct newcomer *ret,
                                   struct error *err)
{
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n_pids = 0, n_holders = 0;
	int r;

	/* Of one that has just ended the row names none. */
	proc_identify(w->pid, &ret->main);
	if (n == 0 && ready_rule_allows_no_listener(&w->plan->config))
		return placement_choose_main(w, ret, err);
	placement_choose_listeners(w, service, listeners, n, ret);
	r = cgroup_list_processes(w->cgroup_fd, &pids, &n_pids);
	if (r < 0)
		return error_set(err, r, "can't read cgroup %s: %s", w->cgroup_name, strerror(-r));
	r = proc_holders_find_among(pids, n_pids, listeners, n, &holders, &n_holders, err);
	return r < 0 ? r : placement_choose_owner(ret, holders, n_holders, err);
}

/* Its listener is where probes found it; a socket is in one array, and once only. */
static void placement_end_probing(struct worker *w, struct service *service)
{
	if (!w->probing_listener)
		return;
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		steer_socks_clear(&service->steer, e, RPD_SLOT_PROBE + w->probe_at);
	w->probing_listener = false;
}

/* What the service knows of the worker from now on, and what it knows of it. */
static int placement_remember_row(struct worker *w, const struct service *service,
                                  struct error *err)
{
	struct rpd_worker row;
	int r = steer_workers_get(&service->steer, w->slot, &row);

	if (r < 0)
		return error_set(err, r, "can't read slot %u: %s", w->slot, strerror(-r));
	memcpy(w->cookies, row.cookies, sizeof(w->cookies));
	w->account = row.account;
	return 0;
}

/* The worker as a newcomer, with endpoints for all that it listens on. *ret_listeners, to which the
 * newcomer points, is the caller's to free. */
static int placement_get_newcomer(struct worker *w, struct service *service,
                                  struct listener **ret_listeners, struct newcomer *ret,
                                  struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	size_t n = 0;
	int r = placement_listeners(w, &listeners, &n, err);

	if (r == 0)
		r = placement_add_endpoints(w->sup, service, listeners, n, err);
	if (r == 0)
		r = placement_find_newcomer(w, service, listeners, n, ret, err);
	if (r == 0)
		*ret_listeners = TAKE_PTR(listeners);
	return r;
}

/* The version that the slot gets with the worker, or NULL: it keeps its own, by which the user may
 * have switched. */
static const char *placement_choose_label(const struct worker *w, const struct service *service)
{
	const struct rpd_slot *is = &steer_schedule(&service->steer)->slots[w->slot];
	const char *old = w->sup->slots[w->slot].old_label;

	if (is->state == RPD_SLOT_EMPTY || w->plan->relabel)
		return w->plan->config.label;
	return old[0] ? old : NULL;
}

/* What the slot's version was is noted, for who comes back. */
static void placement_note_label(const struct worker *w, const struct service *service)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	const struct rpd_slot *is = &s->slots[w->slot];
	struct slot *it = &w->sup->slots[w->slot];

	if (w->plan->relabel && is->state != RPD_SLOT_EMPTY && it->old_label[0] == '\0')
		memcpy(it->old_label, s->versions[is->version].label, sizeof(it->old_label));
}

int placement_admit(struct worker *w, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_service_ struct service service;
	struct newcomer newcomer = {};
	int r;

	service_init(&service);
	r = service_open(&service, w->sup->name, err);
	if (r == 0)
		r = placement_get_newcomer(w, &service, &listeners, &newcomer, err);
	if (r < 0)
		return r;
	placement_end_probing(w, &service);
	placement_note_label(w, &service);
	r = slot_replace_worker(&service, w->slot, &newcomer, placement_choose_label(w, &service),
	                        "run", err);
	if (r == 0)
		r = placement_remember_row(w, &service, err);
	if (r < 0)
		return r;
	if (!w->plan->relabel)
		w->sup->slots[w->slot].old_label[0] = '\0';
	events_note(&service.steer,
	            w->sup->slots[w->slot].current ? RPD_EVENT_swapped : RPD_EVENT_admitted,
	            w->slot, newcomer.owner.id.pid, newcomer.owner.comm);
	return 0;
}

static int placement_free_probe_place(const struct supervisor *sup, struct error *err)
{
	bool taken[RPD_PROBE_MAX] = {};

	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->probing_listener)
			taken[w->probe_at] = true;
	for (unsigned int i = 0; i < RPD_PROBE_MAX; i++)
		if (!taken[i])
			return i;
	return error_set(err, -EBUSY, "%u other workers are probed at the same time",
	                 RPD_PROBE_MAX);
}

int placement_expose(struct worker *w, struct service *service, unsigned int *ret_endpoint,
                     unsigned int *ret_index, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_close_ int fd = -1;
	struct newcomer newcomer = {};
	unsigned int e = 0;
	int r = placement_get_newcomer(w, service, &listeners, &newcomer, err);

	if (r < 0)
		return r;
	while (!newcomer.listeners[e]) /* it has one: else there were no newcomer */
		e++;
	*ret_endpoint = e;
	*ret_index = RPD_SLOT_PROBE + w->probe_at;
	if (w->probing_listener)
		return 0;
	r = placement_free_probe_place(w->sup, err);
	if (r < 0)
		return r;
	w->probe_at = r;
	*ret_index = RPD_SLOT_PROBE + w->probe_at;
	fd = proc_duplicate_fd(newcomer.owner.id.pid, newcomer.fds[e], newcomer.listeners[e]->inode,
	                       err);
	if (fd < 0)
		return fd;
	r = steer_socks_put(&service->steer, e, *ret_index, fd);
	if (r < 0)
		return error_set(err, r, "can't let probes reach pid %u: %s", w->pid, strerror(-r));
	w->probing_listener = true;
	return 0;
}

/* --- out of a slot */

int placement_withdraw(struct supervisor *sup, unsigned int slot, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, sup->name, err);
	return r < 0 ? r : slot_replace_vacate(&service, slot, err);
}

/* --- what is noted of a slot */

void placement_note(struct supervisor *sup, unsigned int slot)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	service_init(&service);
	if (service_open(&service, sup->name, &ignored) < 0)
		return;
	steer_workers_set_run(&service.steer, slot, sup->slots[slot].run,
	                      sup->slots[slot].restarts);
}

int placement_resize(struct supervisor *sup, unsigned int n, struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_ struct service service;
	struct rpd_schedule draft;
	int r;

	service_init(&service);
	r = service_open(&service, sup->name, err);
	if (r == 0)
		r = observe(&service, OBSERVE_KNOWN, &observed, err);
	if (r < 0)
		return r;
	schedule_commit_begin(&service, &observed, &draft);
	for (unsigned int slot = n; slot < draft.n_slots; slot++)
		memset(&draft.slots[slot], 0, sizeof(draft.slots[slot]));
	draft.n_slots = n;
	service.steer.service->n_workers = n;
	return schedule_commit(&service, &observed, &draft, true, "scale", err);
}

/* --- parking */

static bool placement_anybody_listens(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current && placement_listens(sup->slots[slot].current))
			return true;
	return false;
}

/* Workers are up, and there is nowhere where one could connect to them. */
static bool placement_nobody_can_wait(const struct supervisor *sup)
{
	bool is_up = false;

	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		is_up |= sup->slots[slot].current != NULL;
	return is_up && !parking_is_open(&sup->parking);
}

static int placement_on_park_timeout(sd_event_source *source, uint64_t now, void *data)
{
	_cleanup_service_ struct service service;
	struct supervisor *sup = data;
	struct error err = {};
	int n;

	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	service_init(&service);
	if (service_open(&service, sup->name, &err) < 0)
		return 0;
	n = parking_give_up(&sup->parking, &service, &err);
	if (n < 0)
		supervisor_log(sup, "%s", err.text);
	else
		supervisor_log(
		        sup,
		        "no worker is there after %g s: %d waiting connections were reset, new "
		        "ones are refused until one is",
		        (double)sup->plan->config.park_timeout / NS_PER_S, n);
	return 0;
}

/* Somebody is in a slot: who waits goes to him. Also if nobody does yet: a handshake that has begun
 * meanwhile would end where nobody looks any more. */
static void placement_unpark(struct supervisor *sup)
{
	_cleanup_service_ struct service service;
	struct error err = {};
	int r, n = 0;

	service_init(&service);
	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	r = service_open(&service, sup->name, &err);
	if (r == 0 && sup->parking.closed)
		r = parking_open(&sup->parking, &service, &err);
	else if (r == 0)
		r = n = parking_hand_over(&sup->parking, &service, &err);
	if (r < 0)
		supervisor_log(sup, "%s", err.text);
	else if (n)
		supervisor_log(sup, "%d connection%s that waited %s handed over", n,
		               n > 1 ? "s" : "", n > 1 ? "were" : "was");
}

void placement_park(struct supervisor *sup)
{
	if (placement_anybody_listens(sup)) {
		placement_unpark(sup);
		return;
	}
	if (placement_nobody_can_wait(sup)) {
		sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
		return;
	}
	if (sup->stopping || sup->park_timer || sup->parking.closed || reload_makes_room(sup))
		return;
	sd_event_add_time_relative(sup->loop, &sup->park_timer, CLOCK_MONOTONIC,
	                           sup->plan->config.park_timeout / 1000, 0,
	                           placement_on_park_timeout, sup);
}
