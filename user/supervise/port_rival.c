/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/port_rival.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/sockdiag.h"
#include "service/service_lock.h"
#include "supervise/plan.h"

static bool port_rival_is_port_of(const struct run_config *config, const struct service *service,
                                  uint16_t port)
{
	const struct rpd_service *info = service->steer.service;

	for (size_t i = 0; i < config->n_listens; i++)
		if (config->listens[i].port == port)
			return true;
	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (info->endpoints[e].port == port)
			return true;
	return false;
}

void port_rival_note(struct worker *w)
{
	const struct run_config *config = &w->plan->config;
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_service_lock_ struct service *service = NULL;
	const uid_t uid = plan_listener_uid(config);
	char text[ENDPOINT_TEXT_MAX];
	size_t n = 0, used = strlen(w->why);
	struct error ignored;

	if (service_lock(&w->sup->service, &service, &ignored) < 0 ||
	    sockdiag_list_listeners(0, &listeners, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct rpd_endpoint *it = &listeners[i].endpoint;

		if (it->uid == uid || !port_rival_is_port_of(config, service, it->port))
			continue;
		snprintf(w->why + used, sizeof(w->why) - used,
		         "; a process of user %u listens on %s, but the workers run as user %u, "
		         "and users can't share a port",
		         it->uid, endpoint_format(it, text, sizeof(text)), uid);
		return;
	}
}
