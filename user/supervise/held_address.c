/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/held_address.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "core/endpoint.h"
#include "kern/sockdiag.h"
#include "kern/steer.h"
#include "supervise/report.h"

/* Programs that try a port close their listener at once. */
#define HELD_ADDRESS_TRY_NS NS_PER_S

/* At most this many lines about a worker. */
#define HELD_ADDRESS_LINES 8

#define HELD_ADDRESS_TEXT_MAX (3 * ENDPOINT_TEXT_MAX + 160)

void held_address_update(struct supervisor *sup)
{
	const struct rpd_service *info = sup->service.steer.service;
	struct rpd_endpoint served[RPD_ENDPOINT_MAX];
	struct error err;
	size_t n = 0;

	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (steer_has_endpoint(&sup->service.steer, e) && sup->endpoints[e].was_served &&
		    !sup->endpoints[e].orphaned_at)
			served[n++] = info->endpoints[e];
	if (hook_set_served(sup->hook, served, n, &err) < 0)
		report_line(sup, "%s", err.text);
}

static struct worker_held *held_address_find(struct worker *w, uint64_t cookie)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->held); i++)
		if (cookie && w->held[i].cookie == cookie)
			return &w->held[i];
	return NULL;
}

/* The held listener that has been open for the longest time, or NULL. */
static struct worker_held *held_address_find_open(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct worker_held *oldest = NULL;
	struct error ignored;
	size_t n = 0;

	if (!w->n_held ||
	    sockdiag_list_listeners_of(w->cgroup_id, false, &listeners, &n, &ignored) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct worker_held *held = held_address_find(w, listeners[i].cookie);

		if (held && (!oldest || held->since < oldest->since))
			oldest = held;
	}
	return oldest;
}

/* --- what is reported --- */

static const struct rpd_endpoint *held_address_find_covering(const struct worker *w,
                                                             const struct rpd_endpoint *asked)
{
	const struct rpd_service *info = w->sup->service.steer.service;

	for (unsigned int e = 0; service_is_open(&w->sup->service) && e < info->n_endpoints; e++)
		if (steer_has_endpoint(&w->sup->service.steer, e) &&
		    endpoint_takes_from(asked, &info->endpoints[e]))
			return &info->endpoints[e];
	return NULL;
}

static const char *held_address_describe(const struct worker *w, const struct rpd_endpoint *asked,
                                         char buf[HELD_ADDRESS_TEXT_MAX])
{
	const struct rpd_endpoint *covering = held_address_find_covering(w, asked);
	char text[ENDPOINT_TEXT_MAX], other[ENDPOINT_TEXT_MAX] = "an endpoint of the service";

	endpoint_format(asked, text, sizeof(text));
	if (covering)
		endpoint_format(covering, other, sizeof(other));
	snprintf(buf, HELD_ADDRESS_TEXT_MAX,
	         "wants to listen on %s, which would take the connections that %s serves; it was "
	         "held; let it listen on %s, or end the service and call `run` again",
	         text, other, other);
	return buf;
}

static bool held_address_is_no_try(const struct worker_held *held)
{
	return clock_ns(CLOCK_MONOTONIC) - held->since >= HELD_ADDRESS_TRY_NS;
}

bool held_address_explains(struct worker *w)
{
	const struct worker_held *held = held_address_find_open(w);

	if (!held)
		return false;
	held_address_describe(w, &held->asked, w->why);
	return held_address_is_no_try(held);
}

static void held_address_log(struct worker *w, struct worker_held *held)
{
	char text[HELD_ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(w->held); i++)
		if (w->held[i].logged && endpoint_equal(&w->held[i].asked, &held->asked))
			return;
	if (w->n_held_logged >= HELD_ADDRESS_LINES)
		return;
	w->n_held_logged++;
	held->logged = true;
	report_line(w->sup, "slot %u: pid %u %s; to serve both, name both by --listen", w->slot,
	            w->pid, held_address_describe(w, &held->asked, text));
}

static int held_address_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;
	struct worker_held *held;

	w->held_timer = sd_event_source_disable_unref(w->held_timer);
	if (w->state == WORKER_STARTING) {
		w->sup->events->may_be_ready(w);
		return 0;
	}
	held = held_address_find_open(w);
	if (held && held_address_is_no_try(held))
		held_address_log(w, held);
	return 0;
}

void held_address_note(struct worker *w, const struct hook_listen *listen)
{
	struct worker_held *held = held_address_find(w, listen->cookie);

	if (!held)
		held = &w->held[w->n_held++ % ARRAY_SIZE(w->held)];
	*held = (struct worker_held){.cookie = listen->cookie,
	                             .asked = listen->asked,
	                             .since = clock_ns(CLOCK_MONOTONIC)};
	if (!w->held_timer)
		memory_check(sd_event_add_time_relative(
		        w->sup->loop, &w->held_timer, CLOCK_MONOTONIC,
		        HELD_ADDRESS_TRY_NS / 1000 + 1000, 1000, held_address_on_timer, w));
}
