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

#define PORT_RIVAL_NOT_SHARED                                                                      \
	", which the workers don't share; to share it, name it and each other port of the "        \
	"service with --listen"

/* Whether the process is in a cgroup of the service. */
static bool port_rival_is_ours(const struct supervisor *sup, uint32_t pid)
{
	const size_t length = strlen(sup->cgroup_below);
	char path[PATH_MAX];

	return cgroup_of_process(pid, path, sizeof(path)) == 0 &&
	       !strncmp(path, sup->cgroup_below, length) && path[length] == '/';
}

/* The listeners that may be the reason. Few, because processes are searched for each of them. */
struct port_rivals {
	struct listener list[4];
	size_t n;
};

/* Adds the listeners on the port: of other users or, if the worker has said that the address is in
 * use, all of them. */
static void port_rival_add(struct port_rivals *rivals, uint16_t port, uid_t uid, bool in_use)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0;

	if (sockdiag_list_listeners(port, &listeners, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < n && rivals->n < ARRAY_SIZE(rivals->list); i++)
		if (in_use || listeners[i].endpoint.uid != uid)
			rivals->list[rivals->n++] = listeners[i];
}

/* Adds the process to the reason why the worker failed. @holder: NULL = not known. */
static void port_rival_describe(struct worker *w, const struct listener *it, uid_t uid,
                                const struct holder *holder)
{
	const size_t used = strlen(w->why);
	char text[ENDPOINT_TEXT_MAX], name[RPD_COMM_MAX + 32] = "a process";

	if (holder)
		snprintf(name, sizeof(name), "pid %u (%.*s)", holder->id.pid, RPD_COMM_MAX,
		         holder->comm);
	w->rival = !holder || !port_rival_is_ours(w->sup, holder->id.pid);
	endpoint_format(&it->endpoint, text, sizeof(text));
	if (it->endpoint.uid != uid)
		snprintf(w->why + used, sizeof(w->why) - used,
		         "; %s of user %u listens on %s, but the workers run as user %u, "
		         "and users can't share a port",
		         name, it->endpoint.uid, text, uid);
	else
		snprintf(w->why + used, sizeof(w->why) - used, "; %s listens on %s%s", name, text,
		         w->rival ? "" : PORT_RIVAL_NOT_SHARED);
}

/* Describes the first of them that is a reason. Of our user, a listener without a process is the
 * supervisor's own. */
static void port_rival_choose(struct worker *w, const struct port_rivals *rivals, uid_t uid)
{
	_cleanup_free_ struct holder *holders = NULL;
	size_t n = 0;
	struct error ignored;

	if (!rivals->n ||
	    proc_holders_find_soon(rivals->list, rivals->n, &holders, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < rivals->n; i++) {
		const struct listener *it = &rivals->list[i];
		size_t n_rows = 0;
		const struct holder *rows = roster_find_holders(holders, n, it->inode, &n_rows);
		const struct holder *holder = roster_find_owner(rows, n_rows);

		if (!holder && it->endpoint.uid == uid)
			continue;
		port_rival_describe(w, it, uid, holder);
		return;
	}
}

void port_rival_note(struct worker *w)
{
	_cleanup_service_lock_ struct service *service = NULL;
	const uid_t uid = plan_listener_uid(&w->plan->config);
	uint16_t ports[WORKER_LISTENERS_PORTS], port = 0;
	const bool in_use = output_hint_address_in_use(log_link_tail(w), &port);
	struct port_rivals rivals = {};
	struct error ignored;
	size_t n;

	if (service_lock(&w->sup->service, &service, &ignored) < 0)
		return;
	if (port)
		port_rival_add(&rivals, port, uid, true);
	n = worker_listeners_list_ports(w, ports);
	for (size_t i = 0; i < n && !rivals.n; i++)
		port_rival_add(&rivals, ports[i], uid, in_use && !port);
	port_rival_choose(w, &rivals, uid);
}
