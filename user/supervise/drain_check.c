/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/drain_check.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/cgroup.h"
#include "kern/groups.h"
#include "kern/proc.h"
#include "service/generation.h"
#include "service/service_in_force.h"
#include "service/service_lock.h"
#include "service/sockets.h"

/* Where handshakes are not counted: after this time they are complete, or the client has sent its
 * SYN again (RFC 6298: after one second, then after two more). */
#define HANDSHAKE_NS (3 * NS_PER_S)

struct inodes {
	uint32_t *at;
	size_t n, room;
	bool failed;
};

static void drain_check_add_inode(int fd, uint32_t inode, void *data)
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

static int drain_check_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Without counting: how many connections of the service's ports the worker's processes have open.
 */
static int drain_check_count_held(const struct worker *w, const struct service *service,
                                  uint64_t *ret)
{
	_cleanup_free_ struct connection *connections = NULL;
	_cleanup_free_ uint32_t *pids = NULL;
	struct inodes inodes = {};
	size_t n_pids = 0, n = 0;
	struct error ignored;
	int r = cgroup_list_processes(w->cgroup_fd, &pids, &n_pids);

	for (size_t i = 0; r == 0 && i < n_pids; i++)
		r = proc_list_sockets(pids[i], drain_check_add_inode, &inodes);
	if (r == 0 && inodes.failed)
		r = -ENOMEM;
	if (r == 0)
		r = sockets_connections(service, false, &connections, &n, &ignored);
	if (inodes.n)
		qsort(inodes.at, inodes.n, sizeof(*inodes.at), drain_check_compare);
	*ret = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		*ret += connections[i].inode && inodes.n &&
		        bsearch(&connections[i].inode, inodes.at, inodes.n, sizeof(*inodes.at),
		                drain_check_compare);
	free(inodes.at);
	return r;
}

/* The cookies of the worker's listeners, without gaps. Returns how many. */
static size_t drain_check_list_cookies(const struct worker *w, uint64_t ret[RPD_ENDPOINT_MAX])
{
	size_t n = 0;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (w->cookies[e])
			ret[n++] = w->cookies[e];
	return n;
}

/* Whether new connections can't reach the worker: not if another program selects the listener. */
static bool drain_check_is_out(const struct worker *w, const struct service *service)
{
	uint64_t cookies[RPD_ENDPOINT_MAX];
	const size_t n = drain_check_list_cookies(w, cookies);
	struct error ignored;

	return !groups_are_known(&service->groups) ||
	       service_in_force_check_listeners(service, cookies, n, &ignored) == 0;
}

/* Whether no handshake is in progress at the worker's listeners. */
static bool drain_check_has_no_handshake(const struct worker *w, const struct service *service)
{
	uint64_t cookies[RPD_ENDPOINT_MAX], under_way = 0;
	const size_t n = drain_check_list_cookies(w, cookies);

	if (!generation_handshakes(service, cookies, n, &under_way))
		return clock_ns(CLOCK_MONOTONIC) - w->withdrawn_at >= HANDSHAKE_NS;
	return under_way == 0;
}

/* Whether no connection waits in the queue of a listener. */
static bool drain_check_queues_are_empty(const struct worker *w, const struct service *service)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0;

	if (sockets_listeners(service, &listeners, &n, &ignored) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
			if (w->cookies[e] == listeners[i].cookie && listeners[i].queue)
				return false;
	return true;
}

/* Checks handshakes, queues and open connections in this order, as a connection moves: one that
 * moves on meanwhile is counted later. */
bool drain_check_is_empty(const struct worker *w, uint64_t *ret_open)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;
	bool quiet;

	*ret_open = UINT64_MAX;
	if (service_lock(&w->sup->service, &service, &ignored) < 0)
		return false;
	/* The rest asks the kernel for all sockets; there may be many old workers. */
	if (generation_open_connections(service, w->generation, ret_open) && *ret_open > 0)
		return false;
	quiet = drain_check_is_out(w, service) && drain_check_has_no_handshake(w, service) &&
	        drain_check_queues_are_empty(w, service);
	if (!generation_open_connections(service, w->generation, ret_open) &&
	    drain_check_count_held(w, service, ret_open) < 0)
		*ret_open = UINT64_MAX;
	return quiet && *ret_open == 0;
}
