/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/in_force_rejoin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/roster.h"
#include "kern/groups.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/steer_borrowed.h"
#include "service/service_endpoint.h"
#include "service/service_holders.h"
#include "service/sockets.h"

/* After one search. Each try takes a child, and its process may keep us waiting. */
#define IN_FORCE_REJOIN_TRIES 32

/* The listeners that avoid the program, and what became of each. */
struct in_force_rejoin {
	struct listener *listeners;
	struct in_force_rejoined *results;
	size_t n;
};

static void in_force_rejoin_free(struct in_force_rejoin *it)
{
	free(it->listeners);
	free(it->results);
}

static int in_force_rejoin_compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Lists the listeners before it reads the rows: the kernel gives each one a cookie then. */
static int in_force_rejoin_list(const struct service *service, struct in_force_rejoin *ret,
                                struct error *err)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	_cleanup_free_ uint64_t *cookies = NULL;
	size_t n = 0, n_rows = 0;
	int r = sockets_listeners(service, &ret->listeners, &n, err);

	if (r == 0)
		r = groups_read(&service->groups, &rows, &n_rows, err);
	if (r < 0)
		return r;
	cookies = calloc(n_rows + 1, sizeof(*cookies));
	ret->results = calloc(n + 1, sizeof(*ret->results));
	if (!cookies || !ret->results)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n_rows; i++)
		cookies[i] = rows[i].avoids;
	qsort(cookies, n_rows, sizeof(*cookies), in_force_rejoin_compare);
	for (size_t i = 0; i < n; i++)
		if (service_endpoint_index(service, &ret->listeners[i].endpoint) >= 0 &&
		    bsearch(&ret->listeners[i].cookie, cookies, n_rows, sizeof(*cookies),
		            in_force_rejoin_compare))
			ret->listeners[ret->n++] = ret->listeners[i];
	return 0;
}

/* Tries the processes that have the listener open. */
static void in_force_rejoin_one(const struct holder *holders, size_t n, unsigned int *tries,
                                struct in_force_rejoined *ret)
{
	struct error ignored;

	*ret = (struct in_force_rejoined){.left = n ? 0 : -ESRCH};
	for (size_t i = 0; i < n && !ret->pid && *tries < IN_FORCE_REJOIN_TRIES; i++, ++*tries) {
		const uint32_t pid = holders[i].id.pid;
		_cleanup_listener_ int fd =
		        proc_duplicate_fd(pid, holders[i].fd, holders[i].inode, &ignored);
		const int r = fd < 0 ? fd : steer_borrowed_rejoin(fd, pid);

		*ret = r == 0 ? (struct in_force_rejoined){.pid = pid}
		              : (struct in_force_rejoined){.left = r, .left_pid = pid};
	}
}

static void in_force_rejoin_try(struct in_force_rejoin *it, const struct holder *holders, size_t n)
{
	unsigned int tries = 0;

	for (size_t i = 0; i < it->n; i++) {
		size_t held;
		const struct holder *of =
		        roster_find_holders(holders, n, it->listeners[i].inode, &held);

		if (!it->results[i].pid)
			in_force_rejoin_one(of, held, &tries, &it->results[i]);
	}
}

static bool in_force_rejoin_is_done(const struct in_force_rejoin *it)
{
	for (size_t i = 0; i < it->n; i++)
		if (!it->results[i].pid)
			return false;
	return true;
}

/* Through the workers' processes only: these are few. */
static int in_force_rejoin_by_workers(const char *run, struct in_force_rejoin *it,
                                      struct error *err)
{
	_cleanup_free_ struct holder *holders = NULL;
	size_t n = 0;
	int r = service_holders_find(run, NULL, it->listeners, it->n, &holders, &n, err);

	if (r == 0)
		in_force_rejoin_try(it, holders, n);
	return r;
}

static int in_force_rejoin_by_all(bool soon, struct in_force_rejoin *it, struct error *err)
{
	_cleanup_free_ struct holder *holders = NULL;
	size_t n = 0;
	int r = (soon ? proc_holders_find_soon : proc_holders_find)(it->listeners, it->n, &holders,
	                                                            &n, err);

	if (r == 0)
		in_force_rejoin_try(it, holders, n);
	return r;
}

int in_force_rejoin(const struct service *service, struct in_force_rejoined ret[RPD_ENDPOINT_MAX],
                    struct error *err)
{
	__attribute__((cleanup(in_force_rejoin_free))) struct in_force_rejoin it = {};
	const bool is_run = service_is_run(service);
	int r = in_force_rejoin_list(service, &it, err);

	memset(ret, 0, RPD_ENDPOINT_MAX * sizeof(*ret));
	if (r == 0 && is_run && it.n)
		r = in_force_rejoin_by_workers(service->pins.service, &it, err);
	if (r == 0 && !in_force_rejoin_is_done(&it))
		r = in_force_rejoin_by_all(is_run, &it, err);
	for (size_t i = 0; i < it.n; i++) {
		struct in_force_rejoined *of =
		        &ret[service_endpoint_index(service, &it.listeners[i].endpoint)];

		if (it.results[i].pid)
			of->pid = it.results[i].pid;
		if (it.results[i].left) {
			of->left = it.results[i].left;
			of->left_pid = it.results[i].left_pid;
		}
	}
	return r;
}
