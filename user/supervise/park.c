/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/park.h"

#include "base/clock.h"
#include "base/memory.h"
#include "service/service_lock.h"
#include "supervise/endpoints.h"
#include "supervise/parking.h"
#include "supervise/placement.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/supervisor_state.h"
#include "supervise/worker_listeners.h"

/* Refuses connections where they have waited for the park timeout. Returns how many were reset, or
 * a negative errno with @err set. */
static int park_give_up(struct supervisor *sup, struct service *service, struct error *err)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	int n = 0;

	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		const int64_t since = sup->endpoints[e].orphaned_at;
		int r = since && now - since >= sup->plan->config.park_timeout
		                ? parking_give_up(&sup->parking, service, e, err)
		                : 0;

		if (r < 0)
			return r;
		n += r;
	}
	return n;
}

static int park_on_timeout(sd_event_source *source, uint64_t now, void *data)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct supervisor *sup = data;
	struct error err = {};
	int n;

	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	if (service_lock(&sup->service, &service, &err) < 0)
		return 0;
	n = park_give_up(sup, service, &err);
	if (n < 0)
		report_line(sup, "%s", err.text);
	else if (!supervisor_state_has_worker(sup))
		report_line(
		        sup,
		        "no worker is ready after %g s: %d waiting connection%s reset; new ones "
		        "are refused until a worker is ready",
		        (double)sup->plan->config.park_timeout / NS_PER_S, n,
		        n == 1 ? " was" : "s were");
	park_update(sup); /* removes endpoints that other workers don't have */
	return 0;
}

/* Hands over the parked connections where a worker listens, also if there is none yet. Otherwise a
 * handshake that is in progress would end in a queue that is no longer handed over. */
static void park_hand_over(struct supervisor *sup, struct service *service)
{
	struct error err = {};
	const int n = parking_hand_over(&sup->parking, service, &err);

	if (n < 0)
		report_line(sup, "%s", err.text);
	else if (n)
		report_line(sup, "%d connection%s that waited %s handed over", n, n > 1 ? "s" : "",
		            n > 1 ? "were" : "was");
}

/* Whether the service's endpoints have changed so that the worker is to be admitted again: to one
 * more, or as a worker that listens on none of them. */
static bool park_must_admit(const struct worker *w, bool had_listener)
{
	return w->state == WORKER_UP &&
	       (endpoints_lacks_admission(w) || (had_listener && !worker_listeners_has_any(w)));
}

/* Judges the endpoints, and admits workers where that has changed. */
static void park_judge(struct supervisor *sup, struct service *service,
                       enum endpoints_occasion occasion)
{
	bool had_listener[RPD_SLOT_MAX] = {};

	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		had_listener[slot] = sup->slots[slot].current &&
		                     worker_listeners_has_any(sup->slots[slot].current);
	endpoints_judge(sup, service, occasion);
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct worker *w = sup->slots[slot].current;
		struct error err = {};

		if (!w)
			continue;
		if (park_must_admit(w, had_listener[slot]) &&
		    placement_admit(w, &err) != PLACEMENT_ADMITTED)
			report_line(sup, "slot %u: %s", slot, err.text);
	}
}

/* While a worker ends to make room for its successor, connections wait as long as it takes. */
static void park_arm_timeout(struct supervisor *sup)
{
	const int64_t next = endpoints_next_timeout(sup);

	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	if (reload_state_makes_room(sup)) {
		endpoints_restart_timeouts(sup);
		return;
	}
	if (!next)
		return;
	memory_check(sd_event_add_time(sup->loop, &sup->park_timer, CLOCK_MONOTONIC, next / 1000, 0,
	                               park_on_timeout, sup));
}

static void park_update_all(struct supervisor *sup, enum endpoints_occasion occasion)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error err = {};

	if (sup->stopping)
		return;
	if (service_lock(&sup->service, &service, &err) < 0) {
		report_line(sup, "%s", err.text);
		return;
	}
	park_judge(sup, service, occasion);
	park_hand_over(sup, service);
	park_arm_timeout(sup);
}

void park_update(struct supervisor *sup)
{
	park_update_all(sup, ENDPOINTS_ANY_TIME);
}

void park_end_reload(struct supervisor *sup, bool succeeded)
{
	park_update_all(sup, succeeded ? ENDPOINTS_AFTER_RELOAD : ENDPOINTS_AFTER_ROLLBACK);
}
