/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/listener_check.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "kern/groups.h"
#include "kern/steer_socks.h"
#include "supervise/endpoints.h"
#include "supervise/health.h"
#include "supervise/park.h"
#include "supervise/placement.h"
#include "supervise/readiness.h"
#include "supervise/report.h"
#include "supervise/worker_listeners.h"

/* A program may close its listener and listen again. */
#define LISTENER_CHECK_GRACE_NS (2 * NS_PER_S)

/* The endpoint of a listener that the worker has closed, or -1. The kernel takes a listener that
 * closes out of its slot: for a listener without a row, the slot tells. */
static int listener_check_find_closed(const struct worker *w, const struct service *service,
                                      const struct rpd_group_member *rows, size_t n)
{
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		if (w->cookies[e] && !groups_find(rows, n, w->cookies[e]) &&
		    !steer_socks_cookie(&service->steer, e, w->slot))
			return (int)e;
	return -1;
}

static bool listener_check_others_listen(const struct worker *w,
                                         const struct rpd_endpoint *endpoint)
{
	for (unsigned int slot = 0; slot < w->sup->n_slots; slot++) {
		const struct worker *other = w->sup->slots[slot].current;

		if (other && other != w && worker_listeners_has_address(other, endpoint))
			return true;
	}
	return false;
}

/* Whether the worker should listen there: the address is named, other workers serve it, or it was
 * the worker's last. */
static bool listener_check_is_missed(const struct worker *w, const struct rpd_endpoint *endpoint)
{
	return endpoints_is_named(w->sup, endpoint) || listener_check_others_listen(w, endpoint) ||
	       !w->n_addresses;
}

/* The worker has had the time to listen again, and doesn't. */
static void listener_check_judge(struct worker *w, struct service *service, unsigned int endpoint)
{
	struct supervisor *sup = w->sup;
	char text[ENDPOINT_TEXT_MAX], why[ENDPOINT_TEXT_MAX + 80];
	const bool missed =
	        listener_check_is_missed(w, &service->steer.service->endpoints[endpoint]);
	struct error err = {};

	endpoint_format(&service->steer.service->endpoints[endpoint], text, sizeof(text));
	if (placement_forget_listener(w, service, endpoint, &err) < 0)
		report_line(sup, "%s", err.text);
	if (!missed)
		return;
	snprintf(why, sizeof(why), "it has closed its listener on %s", text);
	health_note_unhealthy(w, "listener closed", why);
}

/* The worker has had the time to close all listeners on an address but one, and has several. */
static void listener_check_duplicates(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	char text[sizeof(w->why)], why[sizeof(text) + 4];
	struct error ignored;
	size_t n = 0;

	if (!w->duplicates_at ||
	    clock_ns(CLOCK_MONOTONIC) - w->duplicates_at < LISTENER_CHECK_GRACE_NS ||
	    worker_listeners_look(w, &listeners, &n, &ignored) < 0 ||
	    !worker_listeners_describe_duplicates(w, listeners, n, text, sizeof(text)))
		return;
	snprintf(why, sizeof(why), "it %s", text);
	health_note_unhealthy(w, "several listeners", why);
}

/* The worker has closed its listener on the endpoint. */
static void listener_check_closed(struct worker *w, struct service *service, unsigned int endpoint)
{
	_cleanup_free_ struct listener *listeners = NULL;
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	struct error ignored;
	size_t n = 0;

	if (!w->closed_at)
		w->closed_at = now;
	if (worker_listeners_look(w, &listeners, &n, &ignored) < 0)
		return;
	if (worker_listeners_has_address(
	            w, &service->steer.service->endpoints[endpoint])) { /* it listens again */
		worker_listeners_ask_look(w);
		return;
	}
	if (now - w->closed_at < LISTENER_CHECK_GRACE_NS)
		return;
	w->closed_at = 0;
	listener_check_judge(w, service, endpoint);
	park_update(w->sup);
}

static void listener_check_worker(struct worker *w, struct service *service,
                                  const struct rpd_group_member *rows, size_t n)
{
	const int endpoint = listener_check_find_closed(w, service, rows, n);

	if (w->admit_later)
		worker_listeners_ask_look(w);
	if (endpoint < 0)
		w->closed_at = 0;
	else
		listener_check_closed(w, service, endpoint);
}

/* Whether the workers have had the time to listen on all that they will listen on. */
static bool listener_check_is_calm(const struct supervisor *sup)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);

	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		const struct worker *w = sup->slots[slot].current;

		if (w && (w->look || !w->up_at || now - w->up_at < LISTENER_CHECK_GRACE_NS))
			return false;
	}
	return !sup->reload && !sup->stopping;
}

void listener_check(struct supervisor *sup, struct service *service,
                    const struct rpd_group_member *rows, size_t n)
{
	const bool is_calm = listener_check_is_calm(sup);

	if (is_calm)
		endpoints_report_shared(sup);
	for (unsigned int slot = 0; slot < sup->n_slots && is_calm; slot++)
		if (sup->slots[slot].current)
			endpoints_report_own(sup->slots[slot].current);
	for (unsigned int slot = 0; slot < sup->n_slots && !sup->stopping; slot++)
		if (sup->slots[slot].current)
			listener_check_worker(sup->slots[slot].current, service, rows, n);
	for (unsigned int slot = 0; slot < sup->n_slots && !sup->stopping; slot++)
		if (sup->slots[slot].current)
			listener_check_duplicates(sup->slots[slot].current);
	for (unsigned int slot = 0; slot < sup->n_slots && !sup->stopping; slot++)
		if (sup->slots[slot].next)
			readiness_check_astray(sup->slots[slot].next);
}
