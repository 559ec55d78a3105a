/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/ready_view.h"

#include <errno.h>
#include <string.h>

#include "base/json_build.h"
#include "core/endpoint.h"
#include "service/observe.h"
#include "service/service.h"
#include "service/service_in_force.h"
#include "service/service_supervisor.h"

static void ready_view_count(struct ready_view *it, const struct rpd_schedule *s,
                             const struct observed *observed)
{
	unsigned int entries[RPD_VERSION_MAX] = {}, most = 0, live = 0;

	it->wanted += s->n_slots;
	for (unsigned int slot = 0; slot < observed->n_slots; slot++) {
		const struct rpd_slot *in_ring = &s->slots[slot];

		if (!observed->slots[slot].live || !in_ring->entries)
			continue;
		live++;
		entries[in_ring->version] += in_ring->entries;
		if (entries[in_ring->version] > entries[most])
			most = in_ring->version;
	}
	it->live += live;
	if (live)
		memcpy(it->version, s->versions[most].label, sizeof(it->version));
}

/* Whether all workers are jobs that are done: the service gets no connections. */
static bool ready_view_is_done(const struct observed *observed)
{
	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		if (observed->workers[slot].run != RPD_RUN_STOPPED ||
		    !observed->workers[slot].ended)
			return false;
	return true;
}

/* Returns 0 if the service is ready, or a negative errno with @err set. */
static int ready_view_judge(const struct service *service, unsigned int live, struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	char text[ENDPOINT_TEXT_MAX], by[IN_FORCE_TEXT_MAX];
	struct in_force found;
	int lost;

	service_in_force_read(service, &found);
	lost = in_force_find_lost(&found);
	if (lost >= 0)
		return error_set(err, -EBUSY, "service '%s': %s selects the worker on %s",
		                 service->pins.service, in_force_describe(&found, lost, by),
		                 endpoint_format(&info->endpoints[lost], text, sizeof(text)));
	if (!live)
		return error_set(err, -EBUSY, "service '%s' has no worker for new connections",
		                 service->pins.service);
	if (service_is_run(service) && !service_supervisor_pid(service))
		return error_set(err, -EBUSY, "the supervisor of service '%s' has died",
		                 service->pins.service);
	return 0;
}

void ready_view_add(const char *name, void *data)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_ struct service service;
	struct ready_view *it = data;
	const unsigned int before = it->live;
	struct error why;
	int r;

	service_init(&service);
	r = service_try_open(&service, name, &why);
	it->none |= r == SERVICE_NONE;
	it->busy |= r == SERVICE_LOCKED;
	if (r == SERVICE_OPEN)
		r = observe(&service, OBSERVE_KNOWN, &observed, &why);
	if (r == 0 && ready_view_is_done(&observed))
		return;
	if (r == 0) {
		ready_view_count(it, steer_schedule(&service.steer), &observed);
		r = ready_view_judge(&service, it->live - before, &why);
	}
	if (r != 0 && it->ready == it->services)
		it->why = why;
	it->ready += r == 0;
	it->services++;
}

bool ready_view_is_ready(const struct ready_view *it)
{
	return it->services && it->ready == it->services;
}

struct json_object *ready_view_new(const struct ready_view *it)
{
	struct json_object *view = json_build_new_object();
	const bool ready = ready_view_is_ready(it);

	json_build_flag(view, "ready", ready);
	json_build_text(view, "reason",
	                ready          ? NULL
	                : it->services ? it->why.text
	                               : "there is no service");
	json_build_number(view, "live", it->live);
	json_build_number(view, "wanted", it->wanted);
	json_build_text(view, "version", it->services == 1 && it->version[0] ? it->version : NULL);
	return view;
}
