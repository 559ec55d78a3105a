/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/host_drain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "kern/groups.h"
#include "kern/pins.h"
#include "kern/sockdiag_conn.h"
#include "service/drain_mark.h"
#include "service/service.h"
#include "service/service_each.h"
#include "service/sockets.h"

#define HOST_DRAIN_PAUSE_NS    200000000
#define HOST_DRAIN_PATIENCE_MS 1000 /* for the locks of all services */

/* As in drain_wait.c: one read may miss a connection that moves on meanwhile. */
#define HOST_DRAIN_READS 2

/* Within this time the kernel has carried out resets. */
#define HOST_DRAIN_RESET_S 2

void host_drain_free(struct host_drain *drain)
{
	for (size_t i = 0; i < drain->n; i++)
		connections_free(&drain->services[i].remaining);
	free(drain->services);
	*drain = (struct host_drain){};
}

static int host_drain_check_mark(int64_t since, struct error *err)
{
	return since && drain_mark_read(NULL) == since
	               ? 0
	               : error_set(err, -ECANCELED,
	                           "the host was resumed meanwhile (`reuseportd resume-host`)");
}

static void host_drain_pause(void)
{
	const struct timespec pause = {.tv_nsec = HOST_DRAIN_PAUSE_NS};

	nanosleep(&pause, NULL);
}

int host_drain_lame_duck(int64_t since, double seconds, struct error *err)
{
	const double past = (double)(clock_ns(CLOCK_REALTIME) - since) / NS_PER_S;
	/* The clock may have been set. */
	const double end = clock_s(CLOCK_MONOTONIC) + seconds - (past > 0 ? past : 0);
	int r = host_drain_check_mark(since, err);

	while (r == 0 && clock_s(CLOCK_MONOTONIC) < end) {
		host_drain_pause();
		r = host_drain_check_mark(since, err);
	}
	return r;
}

/* --- one look at all services */

/* The order is that of a connection, as in drain_wait.c. */
static int host_drain_count(const struct service *service, struct host_drain_service *it,
                            struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	_cleanup_free_ struct rpd_group_member *members = NULL;
	_cleanup_free_ struct listener *listeners = NULL;
	struct error ignored;
	size_t n = 0;
	int r;

	/* Without BTF it can't be known which handshakes are under way. */
	if (groups_are_known(&service->groups) &&
	    groups_read(&service->groups, &members, &n, &ignored) == 0)
		for (size_t i = 0; i < n; i++)
			it->left.handshakes += members[i].under_way;
	r = sockets_listeners(service, &listeners, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (endpoint_find(info->endpoints, info->n_endpoints, &listeners[i].endpoint) >= 0)
			it->left.queued += listeners[i].queue;
	if (r == 0)
		r = connections_take_all(service, &it->remaining, err);
	it->left.active = it->remaining.n;
	return r;
}

static void host_drain_close(struct host_drain_service *it, struct error *err)
{
	_cleanup_free_ struct connection *all = calloc(it->remaining.n + 1, sizeof(*all));

	for (size_t i = 0; all && i < it->remaining.n; i++)
		all[i] = it->remaining.rows[i].connection;
	if (all && sockdiag_conn_reset(all, it->remaining.n, &it->n_closed, err) < 0)
		snprintf(it->fault, sizeof(it->fault), "%.500s", err->text);
}

struct host_drain_look {
	struct host_drain drain;
	bool close;
	bool failed; /* out of memory */
};

static struct host_drain_service *host_drain_add(struct host_drain *drain, const char *name)
{
	struct host_drain_service *more =
	        reallocarray(drain->services, drain->n + 1, sizeof(*more));

	if (!more)
		return NULL;
	drain->services = more;
	more += drain->n++;
	*more = (struct host_drain_service){};
	snprintf(more->name, sizeof(more->name), "%s", name);
	return more;
}

static void host_drain_visit(const char *name, void *data)
{
	_cleanup_service_ struct service service;
	struct host_drain_look *look = data;
	struct host_drain_service *it;
	struct error err = {};
	int r;

	service_init(&service);
	r = service_try_open(&service, name, &err);
	if (r == SERVICE_NONE) /* detached since the names were read */
		return;
	it = host_drain_add(&look->drain, name);
	look->failed |= !it;
	if (!it)
		return;
	if (r == SERVICE_OPEN) {
		pins_unlock(&service.pins);
		/* In a network namespace that is gone there is no connection. */
		r = service.reachable ? host_drain_count(&service, it, &err) : 0;
	}
	if (r != 0)
		snprintf(it->fault, sizeof(it->fault), "%.500s", err.text);
	else if (look->close)
		host_drain_close(it, &err);
}

static int host_drain_look(bool close, struct host_drain *ret, struct error *err)
{
	struct host_drain_look look = {.close = close};
	int r = service_each(host_drain_visit, &look, HOST_DRAIN_PATIENCE_MS, err);

	if (r == 0 && look.failed)
		r = error_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		host_drain_free(&look.drain);
		return r;
	}
	host_drain_free(ret);
	*ret = look.drain;
	return 0;
}

/* --- the wait */

static bool host_drain_sum(const struct host_drain *drain, struct drain_wait_left *ret)
{
	bool known = true;

	*ret = (struct drain_wait_left){};
	for (size_t i = 0; i < drain->n; i++) {
		const struct host_drain_service *it = &drain->services[i];

		known &= !it->fault[0];
		ret->handshakes += it->left.handshakes;
		ret->queued += it->left.queued;
		ret->active += it->left.active;
	}
	return known;
}

static int host_drain_wait_until(const struct host_drain_request *request, double begin,
                                 double deadline, struct host_drain *drain, struct error *err)
{
	struct drain_wait_left left;

	for (int reads = 0;;) {
		int r = host_drain_check_mark(request->since, err);
		bool known;

		if (r == 0)
			r = host_drain_look(false, drain, err);
		if (r < 0)
			return r;
		known = host_drain_sum(drain, &left);
		drain->seconds = clock_s(CLOCK_MONOTONIC) - begin;
		request->progress(&left, drain->seconds, request->data);
		reads = known && !left.handshakes && !left.queued && !left.active ? reads + 1 : 0;
		drain->empty = reads == HOST_DRAIN_READS;
		if (drain->empty || (reads == 0 && clock_s(CLOCK_MONOTONIC) >= deadline))
			return 0;
		host_drain_pause();
	}
}

/* The answer lists the connections as they were before. */
static int host_drain_close_remaining(const struct host_drain_request *request, double begin,
                                      struct host_drain *drain, struct error *err)
{
	_cleanup_host_drain_ struct host_drain after = {};
	int r = host_drain_look(true, drain, err);

	if (r == 0)
		r = host_drain_wait_until(
		        request, begin, clock_s(CLOCK_MONOTONIC) + HOST_DRAIN_RESET_S, &after, err);
	drain->seconds = after.seconds;
	drain->empty = after.empty;
	return r;
}

int host_drain_wait(const struct host_drain_request *request, struct host_drain *ret,
                    struct error *err)
{
	_cleanup_host_drain_ struct host_drain drain = {};
	const double begin = clock_s(CLOCK_MONOTONIC);
	int r = host_drain_wait_until(request, begin, begin + request->timeout, &drain, err);

	if (r == 0 && !drain.empty && request->close_remaining)
		r = host_drain_close_remaining(request, begin, &drain, err);
	for (size_t i = 0; r == 0 && i < drain.n && !drain.empty; i++)
		if (drain.services[i].fault[0])
			r = error_set(err, -EIO, "service '%s': %s\nthe host is still draining",
			              drain.services[i].name, drain.services[i].fault);
	if (r < 0)
		return r;
	*ret = drain;
	drain = (struct host_drain){}; /* handed on */
	return 0;
}
