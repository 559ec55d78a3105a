/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/endpoints.h"

#include <errno.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/steer.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "service/service_endpoint.h"
#include "service/service_lock.h"
#include "supervise/report.h"
#include "supervise/supervisor_state.h"

/* Whether the service has room for the endpoints of all the listeners. */
static int endpoints_check_room(const struct service *service, const struct listener *listeners,
                                size_t n, struct error *err)
{
	const unsigned int used = steer_count_endpoints(&service->steer);
	size_t more = 0;

	for (size_t i = 0; i < n; i++) {
		size_t before = 0;

		while (before < i &&
		       !endpoint_equal(&listeners[before].endpoint, &listeners[i].endpoint))
			before++;
		more += before == i && service_endpoint_index(service, &listeners[i].endpoint) < 0;
	}
	return used + more <= RPD_ENDPOINT_MAX
	               ? 0
	               : error_set(err, -ENOSPC,
	                           "listens on %zu new endpoints (address and port), and the "
	                           "service has %u of at most %d; name those that workers share "
	                           "with --listen",
	                           more, used, RPD_ENDPOINT_MAX);
}

static int endpoints_add_locked(struct supervisor *sup, struct service *service,
                                const struct listener *listeners, size_t n, struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	bool added[RPD_ENDPOINT_MAX] = {}, any = false;
	char text[ENDPOINT_TEXT_MAX];
	int r = endpoints_check_room(service, listeners, n, err);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (service_endpoint_index(service, &listeners[i].endpoint) >= 0)
			continue;
		r = service_endpoint_add(service, &listeners[i].endpoint, err);
		if (r >= 0)
			added[r] = any = true;
	}
	/* Until the program is on the group, the kernel's hash may choose a worker that is not
	 * ready. */
	if (r >= 0 && any)
		r = parking_add(&sup->parking, service, err);
	for (unsigned int e = 0; r >= 0 && e < RPD_ENDPOINT_MAX; e++)
		if (added[e])
			report_line(sup, "serving %s",
			            endpoint_format(&info->endpoints[e], text, sizeof(text)));
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

/* One endpoint always stays. */
void endpoints_trim(struct supervisor *sup)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;

	if (!supervisor_state_has_worker(sup) ||
	    service_lock(&sup->service, &service, &ignored) < 0)
		return;
	for (unsigned int e = RPD_ENDPOINT_MAX; e-- > 0;) {
		if (!steer_has_endpoint(&service->steer, e) ||
		    steer_count_endpoints(&service->steer) == 1 ||
		    endpoints_is_wanted(sup, &service->steer.service->endpoints[e], e))
			continue;
		cleanup_close(&sup->parking.fds[e]);
		sup->parking.fds[e] = -1;
		steer_socks_clear_from(&service->steer, e, 0);
		steer_socks_clear(&service->steer, e, RPD_SLOT_PARKING);
		steer_setup_remove_endpoint(&service->steer, &service->pins, e);
	}
}
