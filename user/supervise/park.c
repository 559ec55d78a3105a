/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/park.h"

#include "base/clock.h"
#include "base/memory.h"
#include "service/service_lock.h"
#include "supervise/parking.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/supervisor_state.h"

/* Whether workers are up, and no endpoint has a listener where a client could wait for them. */
static bool park_is_pointless(const struct supervisor *sup)
{
	return supervisor_state_has_worker(sup) && !parking_is_open(&sup->parking);
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
	n = parking_give_up(&sup->parking, service, &err);
	if (n < 0)
		report_line(sup, "%s", err.text);
	else
		report_line(sup,
		            "no worker is ready after %g s: %d waiting connections were reset; new "
		            "ones are refused until a worker is ready",
		            (double)sup->plan->config.park_timeout / NS_PER_S, n);
	return 0;
}

/* A worker listens: hands over the parked connections, also if there is none yet. Otherwise a
 * handshake that is in progress would end in a queue that is no longer handed over. */
static void park_hand_over(struct supervisor *sup)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error err = {};
	int r, n = 0;

	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	r = service_lock(&sup->service, &service, &err);
	if (r == 0 && sup->parking.closed)
		r = parking_open(&sup->parking, service, &err);
	else if (r == 0)
		r = n = parking_hand_over(&sup->parking, service, &err);
	if (r < 0)
		report_line(sup, "%s", err.text);
	else if (n)
		report_line(sup, "%d connection%s that waited %s handed over", n, n > 1 ? "s" : "",
		            n > 1 ? "were" : "was");
}

void park_update(struct supervisor *sup)
{
	if (supervisor_state_has_listener(sup)) {
		park_hand_over(sup);
		return;
	}
	if (park_is_pointless(sup)) {
		sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
		return;
	}
	if (sup->stopping || sup->park_timer || sup->parking.closed || reload_state_makes_room(sup))
		return;
	memory_check(sd_event_add_time_relative(sup->loop, &sup->park_timer, CLOCK_MONOTONIC,
	                                        sup->plan->config.park_timeout / 1000, 0,
	                                        park_on_timeout, sup));
}
