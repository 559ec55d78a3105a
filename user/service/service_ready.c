/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_ready.h"

#include <stdio.h>
#include <string.h>

#include "core/endpoint.h"
#include "service/drain_mark.h"
#include "service/service_supervisor.h"

/* Whether all workers are jobs that are done (--no-restart): the service gets no connections. */
static bool service_ready_is_done(const struct service *service, const struct observed *observed)
{
	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		if (observed->workers[slot].run != RPD_RUN_STOPPED ||
		    !observed->workers[slot].ended)
			return false;
	return steer_count_endpoints(&service->steer) == 0;
}

static void service_ready_count(const struct service *service, const struct observed *observed,
                                struct service_ready *it)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	unsigned int entries[RPD_VERSION_MAX] = {}, most = 0;

	it->wanted = service_ready_is_done(service, observed) ? 0 : s->n_slots;
	for (unsigned int slot = 0; slot < observed->n_slots; slot++) {
		const struct rpd_slot *in_ring = &s->slots[slot];

		if (!observed->slots[slot].live || !in_ring->entries)
			continue;
		it->live++;
		entries[in_ring->version] += in_ring->entries;
		if (entries[in_ring->version] > entries[most])
			most = in_ring->version;
	}
	if (it->live)
		memcpy(it->version, s->versions[most].label, sizeof(it->version));
}

static void service_ready_find_fault(const struct service *service, const struct in_force *found,
                                     struct service_ready *it)
{
	const struct rpd_service *info = service->steer.service;
	const char *name = service->pins.service;
	char text[ENDPOINT_TEXT_MAX], by[IN_FORCE_TEXT_MAX];
	const int lost = in_force_find_lost(found);

	if (lost >= 0)
		snprintf(it->fault, sizeof(it->fault), "service '%s': %s selects the worker on %s",
		         name, in_force_describe(found, lost, by),
		         endpoint_format(&info->endpoints[lost], text, sizeof(text)));
	else if (service_is_run(service) && !service_supervisor_pid(service))
		snprintf(it->fault, sizeof(it->fault), "the supervisor of service '%s' has died",
		         name);
}

void service_ready_read(const struct service *service, const struct observed *observed,
                        const struct in_force *found, struct service_ready *ret)
{
	const int64_t host = drain_mark_read(NULL), own = drain_mark_read(service->pins.service);

	*ret = (struct service_ready){.draining_since =
	                                      host && own ? (host < own ? host : own) : host + own};
	service_ready_count(service, observed, ret);
	service_ready_find_fault(service, found, ret);
}
