/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_listeners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "core/endpoint.h"
#include "kern/cgroup.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/sockdiag.h"
#include "kern/steer_socks.h"
#include "service/service_endpoint.h"
#include "supervise/worker_env.h"

static bool worker_listeners_is_passed(const struct worker *w, uint64_t cookie)
{
	for (size_t i = 0; i < w->n_passed; i++)
		if (w->passed[i] == cookie)
			return true;
	return false;
}

bool worker_listeners_is_admitted(const struct worker *w, uint64_t cookie)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e] == cookie)
			return true;
	return false;
}

bool worker_listeners_is_steered(const struct worker *w, uint64_t cookie)
{
	const struct service *service = &w->sup->service;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e] == cookie)
			return !service_is_open(service) ||
			       steer_socks_cookie(&service->steer, e, w->slot) == cookie;
	return false;
}

bool worker_listeners_has_any(const struct worker *w)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e])
			return true;
	return false;
}

bool worker_listeners_is_held(const struct worker *w, const struct listener *listener,
                              struct rpd_endpoint *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->held); i++)
		if (w->held[i].cookie && w->held[i].cookie == listener->cookie) {
			if (ret)
				*ret = w->held[i].asked;
			return true;
		}
	/* The report was lost, or came to an earlier supervisor. */
	return endpoint_is_held(&listener->endpoint);
}

/* Whether `listen` names the listener; or names none, and it is not that of Node's inspector. */
static bool worker_listeners_is_wanted(const struct worker *w, uint16_t inspector,
                                       const struct listener *listener)
{
	const struct run_config *config = &w->plan->config;

	if (worker_listeners_is_held(w, listener, NULL))
		return false;
	for (size_t i = 0; i < config->n_listens; i++)
		if (endpoint_matches(&listener->endpoint, &config->listens[i]))
			return true;
	return config->n_listens == 0 && (!inspector || listener->endpoint.port != inspector);
}

static bool worker_listeners_is_among(uint64_t cookie, const struct listener *listeners, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (listeners[i].cookie == cookie)
			return true;
	return false;
}

/* Whether all listeners that were passed to the worker or admitted with it are among these. */
static bool worker_listeners_are_all_among(const struct worker *w, const struct listener *listeners,
                                           size_t n)
{
	for (size_t i = 0; i < w->n_passed; i++)
		if (!worker_listeners_is_among(w->passed[i], listeners, n))
			return false;
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e] && !worker_listeners_is_among(w->cookies[e], listeners, n))
			return false;
	return true;
}

static size_t worker_listeners_add_port(uint16_t ports[], size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++)
		if (ports[i] == port)
			return n;
	ports[n] = port;
	return n + 1;
}

size_t worker_listeners_list_ports(const struct worker *w, uint16_t ret[WORKER_LISTENERS_PORTS])
{
	const struct run_config *config = &w->plan->config;
	const struct service *service = &w->sup->service;
	size_t n = 0;

	for (size_t i = 0; i < config->n_listens; i++)
		n = worker_listeners_add_port(ret, n, config->listens[i].port);
	for (unsigned int e = 0;
	     service_is_open(service) && e < service->steer.service->n_endpoints; e++)
		if (steer_has_endpoint(&service->steer, e))
			n = worker_listeners_add_port(ret, n,
			                              service->steer.service->endpoints[e].port);
	return n;
}

/* An array of listeners that grows. */
struct worker_listeners {
	struct listener *list;
	size_t n;
};

/* Adds those of @some that were passed to the worker or admitted with it, each once. */
static int worker_listeners_add_known(const struct worker *w, struct worker_listeners *all,
                                      const struct listener *some, size_t n, struct error *err)
{
	struct listener *list;

	if (!n)
		return 0;
	list = reallocarray(all->list, all->n + n, sizeof(*list));
	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	all->list = list;
	for (size_t i = 0; i < n; i++)
		if ((worker_listeners_is_passed(w, some[i].cookie) ||
		     worker_listeners_is_admitted(w, some[i].cookie)) &&
		    !worker_listeners_is_among(some[i].cookie, list, all->n))
			list[all->n++] = some[i];
	return 0;
}

static int worker_listeners_compare(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

/* Listeners that were passed to the worker were made by a supervisor, in its cgroup. */
static int worker_listeners_add_passed(const struct worker *w, struct worker_listeners *all,
                                       struct error *err)
{
	uint16_t ports[WORKER_LISTENERS_PORTS];
	size_t n_ports;
	int r = 0;

	if (worker_listeners_are_all_among(w, all->list, all->n))
		return 0;
	n_ports = worker_listeners_list_ports(w, ports);
	for (size_t i = 0; r == 0 && i < n_ports; i++) {
		_cleanup_free_ struct listener *some = NULL;
		size_t n = 0;

		r = sockdiag_list_listeners(ports[i], &some, &n, err);
		if (r == 0)
			r = worker_listeners_add_known(w, all, some, n, err);
	}
	if (all->n)
		qsort(all->list, all->n, sizeof(*all->list), worker_listeners_compare);
	return r;
}

int worker_listeners_find(const struct worker *w, struct listener **ret, size_t *ret_n,
                          struct error *err)
{
	const uint16_t inspector = worker_env_inspector(w);
	struct worker_listeners all = {};
	size_t kept = 0;
	int r = sockdiag_list_listeners_of(w->cgroup_id, true, &all.list, &all.n, err);

	if (r == 0)
		r = worker_listeners_add_passed(w, &all, err);
	if (r < 0) {
		free(all.list);
		return r;
	}
	for (size_t i = 0; i < all.n; i++)
		if (worker_listeners_is_wanted(w, inspector, &all.list[i]))
			all.list[kept++] = all.list[i];
	*ret = all.list;
	*ret_n = kept;
	return 0;
}

void worker_listeners_note(struct worker *w, const struct listener *listeners, size_t n)
{
	/* One more than a service can have: endpoints_add() refuses that one. */
	const size_t room = n < RPD_ENDPOINT_MAX + 1 ? n : RPD_ENDPOINT_MAX + 1;
	struct rpd_endpoint *list = room ? calloc(room, sizeof(*list)) : NULL;
	size_t kept = 0;

	memory_check(room && !list ? -ENOMEM : 0);
	for (size_t i = 0; i < n && kept < room; i++)
		if (endpoint_find(list, kept, &listeners[i].endpoint) < 0)
			list[kept++] = listeners[i].endpoint;
	free(w->addresses);
	w->addresses = list;
	w->n_addresses = kept;
}

/* An endpoint of the service on which the worker has several of these listeners, or -1. */
static int worker_listeners_find_duplicates(const struct worker *w,
                                            const struct listener *listeners, size_t n,
                                            unsigned int *ret_count)
{
	unsigned int count[RPD_ENDPOINT_MAX] = {};

	for (size_t i = 0; service_is_open(&w->sup->service) && i < n; i++) {
		const int e = service_endpoint_index(&w->sup->service, &listeners[i].endpoint);

		if (e >= 0)
			count[e]++;
	}
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (count[e] > 1) {
			*ret_count = count[e];
			return (int)e;
		}
	return -1;
}

int worker_listeners_look(struct worker *w, struct listener **ret, size_t *ret_n, struct error *err)
{
	const int r = worker_listeners_find(w, ret, ret_n, err);
	unsigned int ignored;

	if (r < 0)
		return r;
	worker_listeners_note(w, *ret, *ret_n);
	if (worker_listeners_find_duplicates(w, *ret, *ret_n, &ignored) < 0)
		w->duplicates_at = 0;
	else if (!w->duplicates_at)
		w->duplicates_at = clock_ns(CLOCK_MONOTONIC);
	return 0;
}

bool worker_listeners_describe_duplicates(const struct worker *w, const struct listener *listeners,
                                          size_t n, char *buf, size_t size)
{
	char text[ENDPOINT_TEXT_MAX];
	unsigned int count;
	const int e = worker_listeners_find_duplicates(w, listeners, n, &count);

	if (e < 0)
		return false;
	endpoint_format(&w->sup->service.steer.service->endpoints[e], text, sizeof(text));
	snprintf(buf, size,
	         "has %u listeners on %s, and only one gets connections: make it open one; for "
	         "nginx leave out `reuseport`, or set `worker_processes 1`; for HAProxy set "
	         "`shards 1` or `nbthread 1`",
	         count, text);
	return true;
}

bool worker_listeners_has_address(const struct worker *w, const struct rpd_endpoint *address)
{
	return endpoint_find(w->addresses, w->n_addresses, address) >= 0;
}

int worker_listeners_borrow(const struct worker *w, const struct rpd_endpoint *address,
                            struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0, n_pids = 0, n_holders = 0, kept = 0;
	int r = worker_listeners_find(w, &listeners, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (endpoint_equal(&listeners[i].endpoint, address))
			listeners[kept++] = listeners[i];
	r = cgroup_list_processes(w->cgroup_fd, &pids, &n_pids);
	if (r < 0)
		return error_set(err, r, "can't read cgroup %s: %s", w->cgroup_name, strerror(-r));
	if (kept)
		r = proc_holders_find_among(pids, n_pids, listeners, kept, &holders, &n_holders,
		                            err);
	if (r < 0)
		return r;
	if (!n_holders)
		return error_set(err, -ENOENT, "pid %u does not listen there", w->pid);
	return proc_duplicate_fd(holders[0].id.pid, holders[0].fd, holders[0].inode, err);
}

void worker_listeners_ask_look(struct worker *w)
{
	if (!w->look)
		w->look = ++w->sup->last_look;
	share_set(&w->sup->looks, true);
}

const char *worker_listeners_format(const struct worker *w, char *buf, size_t size)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0, used = 0;

	*buf = '\0';
	if (sockdiag_list_listeners_of(w->cgroup_id, false, &listeners, &n, &ignored) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		struct rpd_endpoint endpoint = listeners[i].endpoint;
		char text[ENDPOINT_TEXT_MAX];

		worker_listeners_is_held(w, &listeners[i], &endpoint);
		endpoint_format(&endpoint, text, sizeof(text));
		if (used + strlen(text) + 2 < size)
			used += snprintf(buf + used, size - used, "%s%s", used ? ", " : "", text);
	}
	if (!used)
		snprintf(buf, size, "nothing");
	return buf;
}
