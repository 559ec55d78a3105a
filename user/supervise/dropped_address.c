/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/dropped_address.h"

#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/sockdiag.h"
#include "service/service_endpoint.h"
#include "supervise/parking.h"
#include "supervise/report.h"
#include "supervise/worker_listeners.h"

static bool dropped_address_is_ours(const struct supervisor *sup,
                                    const struct rpd_endpoint *address)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (worker_listeners_has_address(w, address))
			return true;
	return false;
}

/* Whether a worker that is in its slot listens there. */
static bool dropped_address_is_served(const struct supervisor *sup,
                                      const struct rpd_endpoint *address)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		const struct worker *w = sup->slots[slot].current;

		if (w && worker_listeners_has_address(w, address))
			return true;
	}
	return false;
}

/* Whether another program listens more specifically, and would lose its connections. */
enum dropped_address_rival {
	DROPPED_ADDRESS_ALONE,
	DROPPED_ADDRESS_RIVAL,
	DROPPED_ADDRESS_UNKNOWN, /* just now */
};

static enum dropped_address_rival dropped_address_find_rival(const struct supervisor *sup,
                                                             const struct rpd_endpoint *address)
{
	_cleanup_free_ struct listener *listeners = NULL;
	const struct rpd_endpoint plain = endpoint_unmap(address);
	struct error ignored;
	size_t n = 0;

	if (sockdiag_list_listeners(address->port, &listeners, &n, &ignored) < 0)
		return DROPPED_ADDRESS_UNKNOWN;
	for (size_t i = 0; i < n; i++) {
		const struct rpd_endpoint other = endpoint_unmap(&listeners[i].endpoint);

		if (other.family == plain.family && endpoint_is_more_specific(&other, &plain) &&
		    endpoint_covers(&plain, &other) && !endpoint_is_held(&other) &&
		    !dropped_address_is_ours(sup, &listeners[i].endpoint))
			return DROPPED_ADDRESS_RIVAL;
	}
	return DROPPED_ADDRESS_ALONE;
}

/* The endpoint that gets the connections, or -1. */
static int dropped_address_find_cover(const struct service *service,
                                      const struct rpd_endpoint *address)
{
	const struct rpd_service *info = service->steer.service;
	int cover = -1;

	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (steer_has_endpoint(&service->steer, e) &&
		    !endpoint_equal(&info->endpoints[e], address) &&
		    endpoint_covers(&info->endpoints[e], address) &&
		    (cover < 0 ||
		     endpoint_is_more_specific(&info->endpoints[e], &info->endpoints[cover])))
			cover = (int)e;
	return cover;
}

static struct dropped_address *dropped_address_find(struct supervisor *sup,
                                                    const struct rpd_endpoint *address)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->dropped); i++)
		if (sup->dropped[i].address.family &&
		    endpoint_equal(&sup->dropped[i].address, address))
			return &sup->dropped[i];
	return NULL;
}

static struct dropped_address *dropped_address_find_free(struct supervisor *sup)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->dropped); i++)
		if (!sup->dropped[i].address.family)
			return &sup->dropped[i];
	return NULL;
}

/* Opens a listener of the endpoint that covers the address. The steering program never selects it:
 * it stands for the group. */
static int dropped_address_open_listener(struct service *service, struct dropped_address *it,
                                         struct error *err)
{
	const int cover = dropped_address_find_cover(service, &it->address);

	it->cover = service->steer.service->endpoints[cover];
	it->listener = parking_open_listener(service, cover, "lead connections on", err);
	return it->listener < 0 ? it->listener : 0;
}

static int dropped_address_lead_on(struct supervisor *sup, struct service *service,
                                   struct dropped_address *it, struct error *err)
{
	int r = sup->detour ? 0 : detour_open(&sup->detour, err);

	if (r == 0 && it->listener < 0)
		r = dropped_address_open_listener(service, it, err);
	if (r == 0)
		r = detour_add(sup->detour, it - sup->dropped, &it->address, it->listener, err);
	it->is_led_on = r == 0;
	return r;
}

static void dropped_address_stop(struct supervisor *sup, struct dropped_address *it)
{
	if (it->is_led_on)
		detour_remove(sup->detour, it - sup->dropped, &it->address);
	it->is_led_on = false;
}

/* Connections are led on while there is no rival, to the endpoint that covers the address now. What
 * fails is tried again by the next check. */
static void dropped_address_follow(struct supervisor *sup, struct service *service,
                                   struct dropped_address *it)
{
	const enum dropped_address_rival rival = dropped_address_find_rival(sup, &it->address);
	char text[ENDPOINT_TEXT_MAX];
	struct error err;

	if (it->listener >= 0 && service_endpoint_index(service, &it->cover) < 0) {
		dropped_address_stop(sup, it);
		cleanup_close(&it->listener);
	}
	if (rival == DROPPED_ADDRESS_RIVAL)
		dropped_address_stop(sup, it);
	if (rival != DROPPED_ADDRESS_ALONE || it->is_led_on ||
	    dropped_address_lead_on(sup, service, it, &err) == 0 || it->is_reported)
		return;
	it->is_reported = true;
	report_line(sup, "%s: old workers get connections until they end: %s",
	            endpoint_format(&it->address, text, sizeof(text)), err.text);
}

void dropped_address_add(struct supervisor *sup, struct service *service,
                         const struct rpd_endpoint *address)
{
	struct dropped_address *it = dropped_address_find_free(sup);
	char text[ENDPOINT_TEXT_MAX];

	if (address->ifindex || dropped_address_find_cover(service, address) < 0 ||
	    !dropped_address_is_ours(sup, address) || dropped_address_find(sup, address))
		return;
	if (!it) {
		report_line(sup,
		            "%s: old workers get connections until they end: there are %d such "
		            "addresses",
		            endpoint_format(address, text, sizeof(text)), DETOUR_MAX);
		return;
	}
	*it = (struct dropped_address){.address = *address, .listener = -1};
	dropped_address_follow(sup, service, it);
}

void dropped_address_recall(struct supervisor *sup, struct service *service)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		for (size_t i = 0; i < w->n_addresses; i++)
			if (service_endpoint_index(service, &w->addresses[i]) < 0 &&
			    !dropped_address_is_served(sup, &w->addresses[i]))
				dropped_address_add(sup, service, &w->addresses[i]);
}

static bool dropped_address_is_needed(const struct supervisor *sup,
                                      const struct dropped_address *it)
{
	return service_is_open(&sup->service) &&
	       service_endpoint_index(&sup->service, &it->address) < 0 &&
	       dropped_address_find_cover(&sup->service, &it->address) >= 0 &&
	       dropped_address_is_ours(sup, &it->address);
}

static void dropped_address_forget(struct supervisor *sup, struct dropped_address *it)
{
	dropped_address_stop(sup, it);
	cleanup_close(&it->listener);
	*it = (struct dropped_address){};
}

static void dropped_address_free_unused(struct supervisor *sup)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->dropped); i++)
		if (sup->dropped[i].is_led_on)
			return;
	detour_free(sup->detour);
	sup->detour = NULL;
}

void dropped_address_update(struct supervisor *sup)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->dropped); i++) {
		struct dropped_address *it = &sup->dropped[i];

		if (!it->address.family)
			continue;
		if (dropped_address_is_needed(sup, it))
			dropped_address_follow(sup, &sup->service, it);
		else
			dropped_address_forget(sup, it);
	}
	dropped_address_free_unused(sup);
}

void dropped_address_end(struct supervisor *sup)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->dropped); i++)
		if (sup->dropped[i].address.family)
			dropped_address_forget(sup, &sup->dropped[i]);
	dropped_address_free_unused(sup);
}
