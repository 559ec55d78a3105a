/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/port_rival.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "core/output_hint.h"
#include "core/roster.h"
#include "kern/cgroup.h"
#include "kern/proc_holders.h"
#include "kern/sockdiag.h"
#include "service/service_lock.h"
#include "supervise/log_link.h"
#include "supervise/plan.h"
#include "supervise/worker_listeners.h"

/* Whether the process is in a cgroup of the service. */
static bool port_rival_is_ours(const struct supervisor *sup, uint32_t pid)
{
	const size_t length = strlen(sup->cgroup_below);
	char path[PATH_MAX];

	return cgroup_of_process(pid, path, sizeof(path)) == 0 &&
	       !strncmp(path, sup->cgroup_below, length) && path[length] == '/';
}

/* Adds the process that has the listener to the reason why the worker failed. @in_use: the worker
 * has said that an address is in use. Returns whether it is a reason. */
static bool port_rival_note_listener(struct worker *w, const struct listener *it, bool in_use)
{
	_cleanup_free_ struct holder *holders = NULL;
	const uid_t uid = plan_listener_uid(&w->plan->config);
	const size_t used = strlen(w->why);
	char text[ENDPOINT_TEXT_MAX], name[RPD_COMM_MAX + 32] = "a process";
	const struct holder *holder;
	struct error ignored;
	size_t n = 0;

	if (!in_use && it->endpoint.uid == uid)
		return false;
	proc_holders_find_soon(it, 1, &holders, &n, &ignored);
	holder = roster_find_owner(holders, n);
	if (holder)
		snprintf(name, sizeof(name), "pid %u (%.*s)", holder->id.pid, RPD_COMM_MAX,
		         holder->comm);
	endpoint_format(&it->endpoint, text, sizeof(text));
	if (it->endpoint.uid != uid)
		snprintf(w->why + used, sizeof(w->why) - used,
		         "; %s of user %u listens on %s, but the workers run as user %u, "
		         "and users can't share a port",
		         name, it->endpoint.uid, text, uid);
	else if (holder)
		snprintf(w->why + used, sizeof(w->why) - used, "; %s listens on %s", name, text);
	/* Otherwise it is the supervisor's own listener. */
	w->rival = holder && !port_rival_is_ours(w->sup, holder->id.pid);
	return holder || it->endpoint.uid != uid;
}

static bool port_rival_note_port(struct worker *w, uint16_t port, bool in_use)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0;

	if (sockdiag_list_listeners(port, &listeners, &n, &ignored) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (port_rival_note_listener(w, &listeners[i], in_use))
			return true;
	return false;
}

void port_rival_note(struct worker *w)
{
	_cleanup_service_lock_ struct service *service = NULL;
	uint16_t ports[WORKER_LISTENERS_PORTS], port = 0;
	const bool in_use = output_hint_address_in_use(log_link_tail(w), &port);
	struct error ignored;
	size_t n;

	if (service_lock(&w->sup->service, &service, &ignored) < 0 ||
	    (port && port_rival_note_port(w, port, true)))
		return;
	n = worker_listeners_list_ports(w, ports);
	for (size_t i = 0; i < n && !port_rival_note_port(w, ports[i], in_use && !port); i++)
		;
}
