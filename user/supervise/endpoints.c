/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/endpoints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "core/endpoint_life.h"
#include "kern/hook.h"
#include "kern/steer.h"
#include "kern/steer_borrowed.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "service/service_endpoint.h"
#include "service/service_lock.h"
#include "supervise/dropped_address.h"
#include "supervise/held_address.h"
#include "supervise/report.h"
#include "supervise/worker_env.h"
#include "supervise/worker_listeners.h"

/* Each takes some 10 ms, as a program is loaded. */
#define ENDPOINTS_AT_ONCE 2

/* --- what is seen */

bool endpoints_is_named(const struct supervisor *sup, const struct rpd_endpoint *endpoint)
{
	const struct run_config *config = &sup->plan->config;

	for (size_t i = 0; i < config->n_listens; i++)
		if (endpoint_matches(endpoint, &config->listens[i]))
			return true;
	for (const struct worker *w = sup->workers; w && config->increment_vars; w = w->next)
		if (worker_env_has_own_port(w, endpoint->port) &&
		    worker_listeners_has_address(w, endpoint))
			return true;
	return false;
}

static bool endpoints_is_private(const struct supervisor *sup, const struct rpd_endpoint *endpoint)
{
	for (size_t i = 0; i < sup->n_private; i++)
		if (endpoint_matches(endpoint, &sup->private[i]))
			return true;
	return false;
}

/* Whether the worker has its slot, or is @next, which takes it now. */
static bool endpoints_has_slot(const struct worker *w, const struct worker *next)
{
	if (next && next->slot == w->slot)
		return w == next;
	return w->slot < w->sup->n_slots && w->sup->slots[w->slot].current == w;
}

/* @next: the worker that takes its slot now, or NULL. */
static void endpoints_see(const struct supervisor *sup, const struct rpd_endpoint *endpoint,
                          const struct worker *next, struct endpoint_seen *ret)
{
	const int e = service_is_open(&sup->service)
	                      ? service_endpoint_index(&sup->service, endpoint)
	                      : -1;

	*ret = (struct endpoint_seen){.named = endpoints_is_named(sup, endpoint),
	                              .reloading = sup->reload != NULL};
	for (const struct worker *w = sup->workers; w; w = w->next) {
		const bool listens = worker_listeners_has_address(w, endpoint);

		if (endpoints_has_slot(w, next)) {
			ret->workers += w->n_addresses > 0;
			ret->listening += listens;
			ret->closed += w->n_addresses > 0 && !listens && e >= 0 && w->cookies[e];
			ret->covered |= endpoints_is_covered_by(w, endpoint);
		} else if (w->state <= WORKER_STANDBY) {
			ret->awaited |= listens;
		}
	}
}

bool endpoints_is_covered_by(const struct worker *w, const struct rpd_endpoint *endpoint)
{
	for (size_t i = 0; i < w->n_addresses; i++)
		if (!endpoint_equal(&w->addresses[i], endpoint) &&
		    endpoint_covers(&w->addresses[i], endpoint))
			return true;
	return false;
}

/* Reads without the lock: only the supervisor adds or removes endpoints. */
static bool endpoints_has(const struct supervisor *sup, const struct rpd_endpoint *endpoint)
{
	return service_is_open(&sup->service) &&
	       service_endpoint_index(&sup->service, endpoint) >= 0;
}

static bool endpoints_is_to_be_added(const struct worker *w, const struct rpd_endpoint *address,
                                     bool takes_slot)
{
	struct endpoint_seen seen;

	if (endpoints_has(w->sup, address) || endpoints_is_private(w->sup, address))
		return false;
	endpoints_see(w->sup, address, takes_slot ? w : NULL, &seen);
	return endpoint_life_next(ENDPOINT_CANDIDATE, &seen) != ENDPOINT_CANDIDATE;
}

bool endpoints_lacks_admission(const struct worker *w)
{
	for (size_t i = 0; i < w->n_addresses; i++) {
		int e = service_endpoint_index(&w->sup->service, &w->addresses[i]);

		if (e >= 0 && !w->cookies[e])
			return true;
	}
	return false;
}

/* --- more of them */

static int endpoints_add_one(struct supervisor *sup, const struct rpd_endpoint *endpoint,
                             struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	char text[ENDPOINT_TEXT_MAX];
	int e, r = service_lock(&sup->service, &service, err);

	if (r < 0)
		return r;
	if (steer_count_endpoints(&service->steer) == RPD_ENDPOINT_MAX)
		return error_set(
		        err, -ENOSPC,
		        "the service has %d endpoints (address and port) already, as many "
		        "as it can have, and %s is one more; name those that workers share "
		        "with --listen",
		        RPD_ENDPOINT_MAX, endpoint_format(endpoint, text, sizeof(text)));
	e = service_endpoint_add(service, endpoint, err);
	if (e < 0)
		return e;
	sup->endpoints[e] = (struct endpoint_note){.orphaned_at = clock_ns(CLOCK_MONOTONIC)};
	dropped_address_update(sup);
	/* Until the program is on the group, the kernel's hash may choose a worker that is not
	 * ready. */
	r = parking_open_at(&sup->parking, service, e, err);
	if (r == 0)
		report_line(sup, "serving %s", endpoint_format(endpoint, text, sizeof(text)));
	return r;
}

int endpoints_add(struct worker *w, bool takes_slot, struct error *err)
{
	unsigned int added = 0;

	for (size_t i = 0; i < w->n_addresses; i++) {
		int r;

		if (!endpoints_is_to_be_added(w, &w->addresses[i], takes_slot))
			continue;
		if (added == ENDPOINTS_AT_ONCE && !endpoints_is_named(w->sup, &w->addresses[i]))
			return ENDPOINTS_MORE;
		r = endpoints_add_one(w->sup, &w->addresses[i], err);
		if (r < 0)
			return r;
		added++;
	}
	return ENDPOINTS_COMPLETE;
}

bool endpoints_has_more(const struct worker *w)
{
	for (size_t i = 0; i < w->n_addresses; i++)
		if (endpoints_is_to_be_added(w, &w->addresses[i], false))
			return true;
	return false;
}

/* --- fewer of them */

/* A listener of any worker on the endpoint, as of one that drains; or -1. */
static int endpoints_borrow_listener(const struct supervisor *sup,
                                     const struct rpd_endpoint *endpoint)
{
	struct error ignored;
	int fd = -1;

	for (const struct worker *w = sup->workers; w && fd < 0; w = w->next)
		if (w->state <= WORKER_DRAINING && worker_listeners_has_address(w, endpoint))
			fd = worker_listeners_borrow(w, endpoint, &ignored);
	return fd;
}

/* Leaves the endpoint's listeners to the kernel. Connections that wait go to @listener, which takes
 * the place of the parking listener for that moment. */
static void endpoints_release(struct supervisor *sup, struct service *service, unsigned int e,
                              int listener)
{
	if (listener >= 0 && steer_socks_put(&service->steer, e, RPD_SLOT_PARKING, listener) == 0) {
		cleanup_close(&sup->parking.fds[e]);
		steer_borrowed_detach(&service->steer, listener);
	} else {
		cleanup_close(&sup->parking.fds[e]);
	}
	steer_socks_clear(&service->steer, e, RPD_SLOT_PARKING);
	sup->parking.fds[e] = -1;
	sup->parking.closed[e] = false;
}

static void endpoints_remove(struct supervisor *sup, struct service *service, unsigned int e)
{
	_cleanup_close_ int listener =
	        endpoints_borrow_listener(sup, &service->steer.service->endpoints[e]);

	steer_socks_clear_all(&service->steer, e);
	endpoints_release(sup, service, e, listener);
	sup->endpoints[e] = (struct endpoint_note){};
	for (struct worker *w = sup->workers; w; w = w->next)
		w->cookies[e] = 0;
	steer_setup_remove_endpoint(&service->steer, &service->pins, e);
}

static void endpoints_report_removal(struct supervisor *sup, unsigned int e,
                                     const struct endpoint_seen *seen)
{
	const struct rpd_endpoint *endpoint = &sup->service.steer.service->endpoints[e];
	char text[ENDPOINT_TEXT_MAX];

	endpoint_format(endpoint, text, sizeof(text));
	if (seen->listening)
		report_line(sup,
		            "%s: only %u of %u workers listen there: connections are no longer "
		            "steered; `--listen %u` would make it an endpoint of the service",
		            text, seen->listening, seen->workers, endpoint->port);
	else if (seen->covered)
		report_line(sup,
		            "%s is closed: its connections go to workers that listen on all "
		            "addresses",
		            text);
	else if (seen->dropped && sup->endpoints[e].was_served)
		report_line(sup,
		            "warning: %s is gone: the new workers don't listen there; with "
		            "`--listen %u` such a reload is refused",
		            text, endpoint->port);
	else if (sup->endpoints[e].was_served)
		report_line(sup,
		            "%s is closed: no worker has listened there for %g s; connections "
		            "that waited were reset",
		            text, (double)sup->plan->config.park_timeout / NS_PER_S);
}

static bool endpoints_is_overdue(const struct supervisor *sup, unsigned int e, int64_t now)
{
	const int64_t since = sup->endpoints[e].orphaned_at;

	return since && now - since >= sup->plan->config.park_timeout;
}

static void endpoints_judge_one(struct supervisor *sup, struct service *service, unsigned int e,
                                enum endpoints_occasion occasion)
{
	const struct rpd_endpoint endpoint = service->steer.service->endpoints[e];
	struct endpoint_note *note = &sup->endpoints[e];
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	struct endpoint_seen seen;
	enum endpoint_life next;

	endpoints_see(sup, &endpoint, NULL, &seen);
	seen.was_served = note->was_served;
	seen.dropped = occasion != ENDPOINTS_ANY_TIME;
	seen.overdue = endpoints_is_overdue(sup, e, now);
	next = endpoint_life_next(ENDPOINT_SERVED, &seen);
	if (endpoints_is_private(sup, &endpoint) && !seen.named)
		next = ENDPOINT_GONE;
	if (next == ENDPOINT_GONE) {
		if (!endpoints_is_private(sup, &endpoint) && occasion != ENDPOINTS_AFTER_ROLLBACK)
			endpoints_report_removal(sup, e, &seen);
		if (seen.covered && !seen.listening)
			dropped_address_add(sup, service, &endpoint);
		endpoints_remove(sup, service, e);
	} else if (next == ENDPOINT_SERVED) {
		*note = (struct endpoint_note){.was_served = true};
	} else if (!note->orphaned_at) {
		note->orphaned_at = now;
	}
}

static bool endpoints_is_served(const struct supervisor *sup, unsigned int e)
{
	return sup->endpoints[e].was_served && !sup->endpoints[e].orphaned_at;
}

void endpoints_judge(struct supervisor *sup, struct service *service,
                     enum endpoints_occasion occasion)
{
	bool was_served[RPD_ENDPOINT_MAX], changed = false;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		was_served[e] = endpoints_is_served(sup, e);
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		if (steer_has_endpoint(&service->steer, e))
			endpoints_judge_one(sup, service, e, occasion);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		changed |= was_served[e] != endpoints_is_served(sup, e);
	if (changed)
		held_address_update(sup);
	endpoints_update_private(sup);
	dropped_address_update(sup);
}

int64_t endpoints_next_timeout(const struct supervisor *sup)
{
	int64_t next = 0;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		const int64_t since = sup->endpoints[e].orphaned_at;

		if (since && !sup->parking.closed[e] && (!next || since < next))
			next = since;
	}
	return next ? next + sup->plan->config.park_timeout : 0;
}

void endpoints_restart_timeouts(struct supervisor *sup)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (sup->endpoints[e].orphaned_at)
			sup->endpoints[e].orphaned_at = clock_ns(CLOCK_MONOTONIC);
}

/* --- addresses that are not the service's */

/* Returns whether it is the first time. */
static bool endpoints_note(struct supervisor *sup, const struct rpd_endpoint *address)
{
	if (endpoint_find(sup->noted, ARRAY_SIZE(sup->noted), address) >= 0)
		return false;
	sup->noted[sup->n_noted++ % ARRAY_SIZE(sup->noted)] = *address;
	return true;
}

static void endpoints_report_lacking(struct worker *w)
{
	struct supervisor *sup = w->sup;
	const struct rpd_service *info = sup->service.steer.service;
	char text[ENDPOINT_TEXT_MAX];

	for (unsigned int e = 0; w->n_addresses && e < info->n_endpoints; e++) {
		const struct rpd_endpoint *it = &info->endpoints[e];

		if (endpoints_is_served(sup, e) && !w->cookies[e] && !endpoints_is_named(sup, it) &&
		    !worker_listeners_has_address(w, it) && !endpoints_is_covered_by(w, it) &&
		    endpoints_note(sup, it))
			report_line(
			        sup,
			        "slot %u: pid %u does not listen on %s, where most workers listen: "
			        "it gets no connection from there",
			        w->slot, w->pid, endpoint_format(it, text, sizeof(text)));
	}
}

void endpoints_report_own(struct worker *w)
{
	struct supervisor *sup = w->sup;
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; sup->announced && !sup->reload && i < w->n_addresses; i++) {
		const struct rpd_endpoint *address = &w->addresses[i];

		if (endpoints_has(sup, address) || !endpoints_note(sup, address))
			continue;
		endpoint_format(address, text, sizeof(text));
		report_line(
		        sup,
		        "slot %u: pid %u listens on %s, as most workers don't: it is not steered; "
		        "`--listen %u` would make it an endpoint of the service",
		        w->slot, w->pid, text, address->port);
	}
	if (sup->announced && !sup->reload && service_is_open(&sup->service))
		endpoints_report_lacking(w);
}

/* Which one of several ports is a lock can't be known. */
void endpoints_report_shared(struct supervisor *sup)
{
	const struct rpd_service *info = sup->service.steer.service;
	char one[ENDPOINT_TEXT_MAX], other[ENDPOINT_TEXT_MAX];
	const struct rpd_endpoint *first = NULL, *second = NULL;

	if (!sup->announced || sup->shared_noted || sup->n_slots == 1 ||
	    sup->plan->config.n_listens || sup->plan->config.share_loopback ||
	    !service_is_open(&sup->service))
		return;
	for (unsigned int e = 0; e < info->n_endpoints && !second; e++) {
		const struct rpd_endpoint *it = &info->endpoints[e];

		if (!steer_has_endpoint(&sup->service.steer, e) || endpoints_is_named(sup, it))
			continue;
		if (!first)
			first = it;
		else if (first->port != it->port)
			second = it;
	}
	if (!second)
		return;
	sup->shared_noted = true;
	report_line(sup,
	            "all workers share %s and %s; if only one worker is to have one of them, as a "
	            "lock, name the other one with --listen",
	            endpoint_format(first, one, sizeof(one)),
	            endpoint_format(second, other, sizeof(other)));
}

/* Whether the service's endpoints are on other addresses only. A port that `listen` names is shared
 * on all addresses. */
static bool endpoints_avoid_loopback(const struct supervisor *sup)
{
	const struct rpd_service *info = sup->service.steer.service;
	unsigned int n = 0;

	for (unsigned int e = 0; e < info->n_endpoints; e++) {
		if (!steer_has_endpoint(&sup->service.steer, e))
			continue;
		if (endpoint_is_loopback(&info->endpoints[e]))
			return false;
		n++;
	}
	return n && !sup->plan->config.n_listens &&
	       !(sup->plan->config.share_loopback && sup->n_slots > 1);
}

static void endpoints_write_private(struct supervisor *sup)
{
	struct rpd_endpoint list[ENDPOINTS_NOTED_MAX + 1] = {};
	struct error err;

	memcpy(list, sup->private, sup->n_private * sizeof(list[0]));
	/* Family 0 and port 0: all loopback addresses. */
	if (hook_set_private(sup->hook, list, sup->n_private + sup->loopback_is_private, &err) < 0)
		report_line(sup, "%s", err.text);
}

void endpoints_update_private(struct supervisor *sup)
{
	const bool was = sup->loopback_is_private;

	sup->loopback_is_private = sup->was_up && !sup->reload && endpoints_avoid_loopback(sup);
	if (sup->loopback_is_private != was)
		endpoints_write_private(sup);
}

/* Whether the worker listens on another address than the loopback ones; @port: 0 = on any port. */
static bool endpoints_is_reachable(const struct worker *w, uint16_t port)
{
	for (size_t i = 0; i < w->n_addresses; i++)
		if (!endpoint_is_loopback(&w->addresses[i]) &&
		    (!port || w->addresses[i].port == port))
			return true;
	return false;
}

void endpoints_note_private(struct worker *w, bool keeps)
{
	struct supervisor *sup = w->sup;
	const size_t n_before = sup->n_private;

	sup->was_up = true;
	if (sup->plan->config.share_loopback || !endpoints_is_reachable(w, 0))
		return;
	for (size_t i = 0; i < w->n_addresses; i++) {
		const struct rpd_endpoint *address = &w->addresses[i];

		if (!endpoint_is_loopback(address) || endpoints_is_reachable(w, address->port) ||
		    endpoints_is_named(sup, address) || endpoints_is_private(sup, address) ||
		    (endpoints_has(sup, address) && keeps) ||
		    sup->n_private == ARRAY_SIZE(sup->private))
			continue;
		sup->private[sup->n_private++] = *address;
	}
	if (sup->n_private > n_before)
		endpoints_write_private(sup);
}

void endpoints_note_late(struct worker *w)
{
	if (w->sup->loopback_is_private)
		endpoints_note_private(w, true);
}
