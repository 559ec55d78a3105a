/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/in_force_rejoin.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/roster.h"
#include "kern/groups.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/rejoin.h"
#include "kern/steer_borrowed.h"
#include "service/service_endpoint.h"
#include "service/sockets.h"

/* How many listeners the processes are searched for: there may be thousands, and the search for
 * each takes time. */
#define IN_FORCE_REJOIN_SEARCHED 4

/* Each try takes a child, and its process may keep us waiting. */
#define IN_FORCE_REJOIN_TRIES 8

struct in_force_rejoin {
	struct listener listeners[IN_FORCE_REJOIN_SEARCHED];
	size_t n;
	struct holder *holders;
	size_t n_holders;
};

static void in_force_rejoin_free(struct in_force_rejoin *it)
{
	free(it->holders);
}

#define _cleanup_rejoin_ _cleanup_(in_force_rejoin_free)

/* Finds the processes that have the listeners open. */
static void in_force_rejoin_find_holders(const struct service *service, struct in_force_rejoin *it)
{
	struct error ignored;

	if (service_is_run(service))
		proc_holders_find_soon(it->listeners, it->n, &it->holders, &it->n_holders,
		                       &ignored);
	else
		proc_holders_find(it->listeners, it->n, &it->holders, &it->n_holders, &ignored);
}

/* --- by the iterator */

static int in_force_rejoin_by_iterator(const struct service *service,
                                       const bool whose[RPD_ENDPOINT_MAX],
                                       struct in_force_rejoined ret[RPD_ENDPOINT_MAX],
                                       struct error *err)
{
	_cleanup_free_ struct rpd_rejoined *rows = NULL;
	_cleanup_rejoin_ struct in_force_rejoin it = {};
	size_t n = 0;
	int r = rejoin(&service->steer, &rows, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && it.n < IN_FORCE_REJOIN_SEARCHED; i++)
		if (whose[rows[i].endpoint])
			it.listeners[it.n++].inode = rows[i].inode;
	if (it.n)
		in_force_rejoin_find_holders(service, &it);
	for (size_t i = 0; i < n; i++) {
		struct in_force_rejoined *of = &ret[rows[i].endpoint];
		size_t held;
		const struct holder *first =
		        roster_find_holders(it.holders, it.n_holders, rows[i].inode, &held);

		of->n++;
		if (held)
			of->pid = first->id.pid;
	}
	return 0;
}

/* --- by the processes: that needs the locks of these listeners only, and works before Linux 5.15
 */

static bool in_force_rejoin_avoids(const struct rpd_group_member *rows, size_t n, uint64_t cookie)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].avoids == cookie)
			return true;
	return false;
}

/* Finds the first few listeners that avoid the program. Lists the listeners before it reads the
 * rows: the kernel gives each one a cookie then. */
static int in_force_rejoin_list(const struct service *service, struct in_force_rejoin *it)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	_cleanup_free_ struct listener *listeners = NULL;
	size_t n = 0, n_rows = 0, n_avoid = 0;
	struct error ignored;
	int r = sockets_listeners(service, &listeners, &n, &ignored);

	if (r == 0)
		r = groups_read(&service->groups, &rows, &n_rows, &ignored);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_rows && n_avoid < IN_FORCE_REJOIN_SEARCHED; i++)
		if (rows[i].avoids && !in_force_rejoin_avoids(rows, n_avoid, rows[i].avoids))
			rows[n_avoid++].avoids = rows[i].avoids;
	for (size_t i = 0; i < n && it->n < n_avoid; i++)
		if (in_force_rejoin_avoids(rows, n_avoid, listeners[i].cookie))
			it->listeners[it->n++] = listeners[i];
	return 0;
}

/* Through one of the processes that have the listener open. */
static void in_force_rejoin_borrowed(const struct holder *holders, size_t n, unsigned int *tries,
                                     struct in_force_rejoined *ret)
{
	bool changed = false;
	struct error ignored;

	for (size_t i = 0; i < n && !changed && *tries < IN_FORCE_REJOIN_TRIES; i++, ++*tries) {
		const uint32_t pid = holders[i].id.pid;
		_cleanup_listener_ int fd =
		        proc_duplicate_fd(pid, holders[i].fd, holders[i].inode, &ignored);

		changed = fd >= 0 && steer_borrowed_rejoin(fd, pid) == 0;
		if (changed)
			ret->pid = pid;
		ret->n += changed;
	}
}

static void in_force_rejoin_by_processes(const struct service *service,
                                         struct in_force_rejoined ret[RPD_ENDPOINT_MAX])
{
	_cleanup_rejoin_ struct in_force_rejoin it = {};
	unsigned int tries = 0;

	if (in_force_rejoin_list(service, &it) < 0 || !it.n)
		return;
	in_force_rejoin_find_holders(service, &it);
	for (size_t i = 0; i < it.n; i++) {
		const int e = service_endpoint_index(service, &it.listeners[i].endpoint);
		size_t held;
		const struct holder *first =
		        roster_find_holders(it.holders, it.n_holders, it.listeners[i].inode, &held);

		if (e >= 0)
			in_force_rejoin_borrowed(first, held, &tries, &ret[e]);
	}
}

int in_force_rejoin(const struct service *service, const bool whose[RPD_ENDPOINT_MAX],
                    struct in_force_rejoined ret[RPD_ENDPOINT_MAX], struct error *err)
{
	int r;

	memset(ret, 0, RPD_ENDPOINT_MAX * sizeof(*ret));
	r = in_force_rejoin_by_iterator(service, whose, ret, err);
	if (r < 0)
		in_force_rejoin_by_processes(service, ret);
	return r;
}
