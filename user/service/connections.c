/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/connections.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/conns.h"
#include "kern/steer_workers.h"
#include "service/sockets.h"

void connections_free(struct connections *connections)
{
	free(connections->rows);
	memset(connections, 0, sizeof(*connections));
}

static int connections_compare_rows(const void *a, const void *b)
{
	const struct worker_connection *x = a, *y = b;
	uint64_t p = x->connection.since, q = y->connection.since;

	if (x->slot != y->slot)
		return x->slot - y->slot;
	return (p > q) - (p < q);
}

static int connections_allocate(size_t n, struct connections *ret, struct error *err)
{
	*ret = (struct connections){.rows = calloc(n + 1, sizeof(*ret->rows))};
	return ret->rows ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static void connections_sort(struct connections *connections)
{
	if (connections->n)
		qsort(connections->rows, connections->n, sizeof(*connections->rows),
		      connections_compare_rows);
}

/* A row with the slot of a connection that is counted; without one for any other. */
static struct worker_connection connections_place(const struct connection *c)
{
	struct worker_connection row = {.connection = *c, .slot = -1};

	row.parked = c->counted && c->account == RPD_ACCOUNT_PARKED;
	if (c->counted && c->account < RPD_ACCOUNT_UNKNOWN)
		row.slot = c->account % RPD_SLOT_MAX;
	return row;
}

static struct worker_connection connections_place_observed(const struct observed *o,
                                                           const struct connection *c)
{
	struct worker_connection row = connections_place(c);

	if (row.slot >= 0)
		row.former = (unsigned int)row.slot >= o->n_slots ||
		             o->slots[row.slot].worker->account != c->account;
	return row;
}

static bool connections_is_wanted(const struct worker_connection *row, const struct slots *slots,
                                  bool former)
{
	if (!slots || row->slot < 0)
		return !slots || !row->parked;
	for (size_t i = 0; i < slots->n; i++)
		if (slots->at[i] == row->slot)
			return former || !row->former;
	return false;
}

int connections_take(const struct service *service, const struct observed *observed,
                     const struct slots *slots, bool former, struct connections *ret,
                     struct error *err)
{
	_cleanup_free_ struct connection *all = NULL;
	_cleanup_connections_ struct connections kept = {};
	size_t n;
	int r;

	if (!service->conns.counting)
		return error_set(err, -EOPNOTSUPP, "connections are not counted: %s",
		                 service->conns.why);
	if (!service->reachable)
		return error_set(err, -ENOENT,
		                 "the workers' network namespace is gone; `reuseportd %s %s` "
		                 "removes what is left of the service",
		                 service_is_run(service) ? "stop" : "detach",
		                 service->pins.service);
	r = sockets_connections(service, true, &all, &n, err);
	if (r == 0)
		r = conns_mark_counted(&service->conns, all, n, err);
	if (r == 0)
		r = connections_allocate(n, &kept, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (!all[i].counted)
			continue;
		kept.rows[kept.n] = connections_place_observed(observed, &all[i]);
		kept.n += connections_is_wanted(&kept.rows[kept.n], slots, former);
	}
	connections_sort(&kept);
	*ret = kept;
	memset(&kept, 0, sizeof(kept)); /* handed on */
	return 0;
}

/* What is counted may belong to a former worker, by an endpoint that the service has no longer. */
static bool connections_is_of_service(const struct service *service, const struct connection *c)
{
	const struct rpd_service *info = service->steer.service;

	if (c->counted)
		return true;
	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (steer_has_endpoint(&service->steer, e) &&
		    info->endpoints[e].port == c->local_port &&
		    endpoint_may_accept(&info->endpoints[e], c->family, c->local, c->ifindex))
			return true;
	return false;
}

static struct worker_connection connections_place_of(const struct steer *steer,
                                                     const struct connection *c)
{
	struct worker_connection row = connections_place(c);
	struct rpd_worker worker;

	if (row.slot >= 0)
		row.former = steer_workers_get(steer, row.slot, &worker) < 0 ||
		             worker.account != c->account;
	return row;
}

int connections_take_all(const struct service *service, struct connections *ret, struct error *err)
{
	_cleanup_free_ struct connection *all = NULL;
	struct connections kept = {};
	size_t n;
	int r = sockets_connections(service, true, &all, &n, err);

	if (r < 0) /* a process keeps a connection locked */
		r = sockets_connections(service, false, &all, &n, err);
	if (r == 0 && service->conns.counting)
		r = conns_mark_counted(&service->conns, all, n, err);
	if (r == 0)
		r = connections_allocate(n, &kept, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (connections_is_of_service(service, &all[i]))
			kept.rows[kept.n++] = connections_place_of(&service->steer, &all[i]);
	connections_sort(&kept);
	*ret = kept;
	return 0;
}
