/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/endpoints.h"

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/steer.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "service/service_endpoint.h"
#include "service/service_lock.h"
#include "supervise/held_address.h"
#include "supervise/report.h"
#include "supervise/supervisor_state.h"

static int endpoints_add_locked(struct supervisor *sup, struct service *service,
                                const struct listener *listeners, size_t n, struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	unsigned int before = info->n_endpoints;
	char text[ENDPOINT_TEXT_MAX];
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		if (service_endpoint_index(service, &listeners[i].endpoint) < 0)
			r = service_endpoint_add(service, &listeners[i].endpoint, err);
	/* Until the program is on the group, the kernel's hash may choose a worker that is not
	 * ready. */
	if (r >= 0 && info->n_endpoints > before && !sup->parking.closed)
		r = parking_open(&sup->parking, service, err);
	for (unsigned int e = before; r >= 0 && e < info->n_endpoints; e++)
		report_line(sup, "serving %s",
		            endpoint_format(&info->endpoints[e], text, sizeof(text)));
	if (info->n_endpoints > before)
		held_address_update(sup);
	return r < 0 ? r : 0;
}

/* Reads without the lock: only the supervisor adds or removes endpoints. */
static bool endpoints_has_all(const struct service *service, const struct listener *listeners,
                              size_t n)
{
	if (!service_is_open(service))
		return false;
	for (size_t i = 0; i < n; i++)
		if (service_endpoint_index(service, &listeners[i].endpoint) < 0)
			return false;
	return true;
}

int endpoints_add(struct supervisor *sup, const struct listener *listeners, size_t n,
                  struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	int r;

	if (endpoints_has_all(&sup->service, listeners, n))
		return 0;
	r = service_lock(&sup->service, &service, err);
	return r < 0 ? r : endpoints_add_locked(sup, service, listeners, n, err);
}

static bool endpoints_is_wanted(const struct supervisor *sup, const struct rpd_endpoint *endpoint,
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

/* Only the last endpoints can be removed, because the others keep their numbers. */
void endpoints_trim(struct supervisor *sup)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;

	if (!supervisor_state_has_worker(sup) ||
	    service_lock(&sup->service, &service, &ignored) < 0)
		return;
	while (service->steer.service->n_endpoints > 1) {
		const unsigned int e = service->steer.service->n_endpoints - 1;

		if (endpoints_is_wanted(sup, &service->steer.service->endpoints[e], e))
			return;
		cleanup_close(&sup->parking.fds[e]);
		sup->parking.fds[e] = -1;
		steer_socks_clear_from(&service->steer, e, 0);
		steer_socks_clear(&service->steer, e, RPD_SLOT_PARKING);
		steer_setup_remove_endpoint(&service->steer, &service->pins);
		held_address_update(sup);
	}
}
