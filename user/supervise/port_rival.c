/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/port_rival.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/sockdiag.h"
#include "service/service_lock.h"
#include "supervise/plan.h"
#include "supervise/worker_listeners.h"

/* Adds to the reason why the worker failed, if a listener on the port is another user's. */
static bool port_rival_note_port(struct worker *w, uint16_t port)
{
	_cleanup_free_ struct listener *listeners = NULL;
	const uid_t uid = plan_listener_uid(&w->plan->config);
	const size_t used = strlen(w->why);
	char text[ENDPOINT_TEXT_MAX];
	struct error ignored;
	size_t n = 0;

	if (sockdiag_list_listeners(port, &listeners, &n, &ignored) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct rpd_endpoint *it = &listeners[i].endpoint;

		if (it->uid == uid)
			continue;
		snprintf(w->why + used, sizeof(w->why) - used,
		         "; a process of user %u listens on %s, but the workers run as user %u, "
		         "and users can't share a port",
		         it->uid, endpoint_format(it, text, sizeof(text)), uid);
		return true;
	}
	return false;
}

void port_rival_note(struct worker *w)
{
	_cleanup_service_lock_ struct service *service = NULL;
	uint16_t ports[WORKER_LISTENERS_PORTS];
	struct error ignored;
	size_t n;

	if (service_lock(&w->sup->service, &service, &ignored) < 0)
		return;
	n = worker_listeners_list_ports(w, ports);
	for (size_t i = 0; i < n && !port_rival_note_port(w, ports[i]); i++)
		;
}
