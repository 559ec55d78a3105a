/* SPDX-License-Identifier: BSD-2-Clause */
/* What is left of the connections of a worker that is out of its slot. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/account.h"
#include "daemon/run.h"
#include "daemon/sockets.h"
#include "kern/cgroup.h"
#include "kern/proc.h"

/* Where handshakes can't be told apart: within this time they are done, or their client has sent
 * its SYN anew (RFC 6298: one second at first, then two). */
#define HANDSHAKE_NS (3 * NS_PER_S)

struct inodes {
	uint32_t *at;
	size_t n, room;
	bool failed;
};

static void add_inode(uint32_t inode, void *data)
{
	struct inodes *inodes = data;

	if (inodes->n == inodes->room) {
		size_t room = inodes->room ? 2 * inodes->room : 256;
		uint32_t *at = reallocarray(inodes->at, room, sizeof(*at));

		inodes->failed |= !at;
		if (!at)
			return;
		inodes->at = at;
		inodes->room = room;
	}
	inodes->at[inodes->n++] = inode;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Without counting: the connections of the service's ports that its processes have open. */
static uint64_t count_held(const struct run_worker *w, const struct service *service)
{
	_cleanup_free_ struct connection *connections = NULL;
	_cleanup_free_ uint32_t *pids = NULL;
	struct inodes inodes = {};
	uint64_t open = 0;
	size_t n_pids = 0, n = 0;
	struct error ignored;

	cgroup_processes(w->cgroup_fd, &pids, &n_pids);
	for (size_t i = 0; i < n_pids; i++)
		proc_sockets(pids[i], add_inode, &inodes);
	if (inodes.n)
		qsort(inodes.at, inodes.n, sizeof(*inodes.at), compare);
	sockets_connections(service, &connections, &n, &ignored);
	for (size_t i = 0; i < n; i++)
		open += connections[i].inode && inodes.n &&
		        bsearch(&connections[i].inode, inodes.at, inodes.n, sizeof(*inodes.at),
		                compare);
	free(inodes.at);
	return inodes.failed ? UINT64_MAX : open;
}

/* Connections that wait at its listeners, and handshakes under way there. */
static bool queues_are_empty(const struct run_worker *w, const struct service *service)
{
	_cleanup_free_ struct listener *listeners = NULL;
	uint64_t cookies[RPD_ENDPOINT_MAX], under_way = 0;
	struct error ignored;
	size_t n = 0, n_cookies = 0;

	if (sockets_listeners(service, &listeners, &n, &ignored) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
			if (w->cookies[e] == listeners[i].cookie && listeners[i].queue)
				return false;
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e])
			cookies[n_cookies++] = w->cookies[e];
	if (worker_handshakes(service, cookies, n_cookies, &under_way) < 0)
		return clock_ns(CLOCK_MONOTONIC) - w->withdrawn_at >= HANDSHAKE_NS;
	return under_way == 0;
}

bool run_drain_is_done(struct run_worker *w, uint64_t *ret_open)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	*ret_open = UINT64_MAX;
	service_init(&service);
	if (service_open(&service, w->sup->name, &ignored) < 0)
		return false;
	if (worker_open_connections(&service, w->account, ret_open) < 0)
		*ret_open = count_held(w, &service);
	return *ret_open == 0 && queues_are_empty(w, &service);
}
