/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/drain_wait.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/conn_count.h"
#include "kern/conns.h"
#include "kern/groups.h"
#include "kern/pins.h"
#include "kern/sockdiag_conn.h"
#include "kern/steer.h"
#include "kern/steer_workers.h"
#include "service/generation.h"
#include "service/service_in_force.h"
#include "service/sockets.h"

#define DRAIN_WAIT_PAUSE_NS 50000000

/* A connection that another CPU moves to its next stage, while we go from reading one stage to
 * reading the next, may be missed in both. It can't be missed twice in a row. */
#define DRAIN_WAIT_READS 2

/* Within this time the kernel has carried out resets. */
#define DRAIN_WAIT_RESET_S 2

void drain_wait_free(struct drain_wait_result *result)
{
	connections_free(&result->remaining);
	memset(result, 0, sizeof(*result));
}

/* Whether all connections of the slot's worker are counted. */
static int drain_wait_check_counted(const struct service *service, const struct observed *observed,
                                    unsigned int slot, struct error *err)
{
	const uint16_t generation = observed->slots[slot].worker->account;
	struct conn_count count;
	int r;

	if (generation >= RPD_ACCOUNT_UNKNOWN)
		return error_set(err, -EOPNOTSUPP, "slot %u: " GENERATION_ALL_USED, slot);
	r = conns_read_count(&service->steer, generation, &count);
	if (r < 0)
		return error_set(err, r, "can't read the counts of slot %u: %s", slot,
		                 strerror(-r));
	if (count.of[RPD_CONN_uncounted])
		return error_set(err, -EOPNOTSUPP,
		                 "%" PRIu64
		                 " connections of slot %u are not counted for lack of room "
		                 "(`attach --count-max`), so it can't be known when its worker is "
		                 "empty",
		                 count.of[RPD_CONN_uncounted], slot);
	return 0;
}

int drain_wait_check(const struct service *service, const struct observed *observed,
                     const struct slots *slots, struct error *err)
{
	int r = 0;

	if (!service->conns.counting)
		return error_set(err, -EOPNOTSUPP,
		                 "connections are not counted, so it can't be known when a worker "
		                 "is empty: %s",
		                 service->conns.why);
	if (service->steer.control->n_unlisted)
		return error_set(err, -EOPNOTSUPP,
		                 "some connections from before attach are not counted, so it can't "
		                 "be known when a worker is empty");
	if (!service->reachable)
		return error_set(err, -ENOENT,
		                 "the workers' network namespace is gone, or can't be entered");
	if (!groups_are_known(&service->groups))
		return error_set(err, -EOPNOTSUPP,
		                 "it can't be known whether the steering program is in force, and "
		                 "when a worker is empty: " GROUPS_NEEDS);
	for (size_t i = 0; r == 0 && i < slots->n; i++)
		r = drain_wait_check_counted(service, observed, slots->at[i], err);
	return r;
}

static bool drain_wait_is_in_slots(const struct observed *o, const struct slots *slots,
                                   uint64_t cookie)
{
	for (size_t i = 0; i < slots->n; i++)
		if (observed_is_in_slot(o, slots->at[i], cookie))
			return true;
	return false;
}

/* Reads the stages in the order that a connection passes through them. If another program selects
 * the listener, the slots get new connections all the time: that is an error. */
static int drain_wait_read(const struct service *service, const struct observed *o,
                           const struct slots *slots, struct drain_wait_left *ret,
                           struct error *err)
{
	_cleanup_free_ struct rpd_group_member *members = NULL;
	_cleanup_free_ struct listener *listeners = NULL;
	struct drain_wait_left left = {};
	struct conn_count unknown;
	size_t n = 0;
	int r = groups_read(&service->groups, &members, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++)
		if (drain_wait_is_in_slots(o, slots, members[i].cookie)) {
			left.handshakes += members[i].under_way;
			r = service_in_force_check_member(service, &members[i], err);
		}
	if (r == 0)
		r = sockets_listeners(service, &listeners, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (drain_wait_is_in_slots(o, slots, listeners[i].cookie))
			left.queued += listeners[i].queue;
	for (size_t i = 0; r == 0 && i < slots->n; i++) {
		struct conn_count count;

		r = conns_read_count(&service->steer, o->slots[slots->at[i]].worker->account,
		                     &count);
		if (r < 0)
			return error_set(err, r, "can't read the counts of slot %u: %s",
			                 slots->at[i], strerror(-r));
		left.active += conn_count_still_open(&count);
	}
	if (r == 0)
		r = conns_read_count(&service->steer, RPD_ACCOUNT_UNKNOWN, &unknown);
	left.unattributed = r == 0 ? conn_count_still_open(&unknown) : 0;
	*ret = left;
	return r;
}

static bool drain_wait_is_empty(const struct drain_wait_left *left)
{
	return !left->handshakes && !left->queued && !left->active && !left->unattributed;
}

static int drain_wait_detached_error(const struct service *service, struct error *err)
{
	return error_set(err, -ECANCELED, "service '%s' was detached meanwhile",
	                 service->pins.service);
}

/* Without the lock, another command may detach the service, resume a slot or swap its worker. The
 * maps that are open show the change even if another service has taken the name. */
static int drain_wait_check_unchanged(const struct service *service, const struct observed *o,
                                      const struct slots *slots, struct error *err)
{
	if (service->steer.service->stage != RPD_STAGE_READY)
		return drain_wait_detached_error(service, err);
	for (size_t i = 0; i < slots->n; i++) {
		unsigned int slot = slots->at[i];
		struct rpd_worker worker;
		int r = steer_workers_get(&service->steer, slot, &worker);

		if (r < 0 || worker.account != o->slots[slot].worker->account ||
		    steer_schedule(&service->steer)->slots[slot].state != RPD_SLOT_DRAINING)
			return error_set(err, -ECANCELED,
			                 "slot %u was resumed or swapped meanwhile", slot);
	}
	return 0;
}

/* The same check under the lock, while no other command is at work. */
static int drain_wait_check_locked(const struct service *service, const struct observed *o,
                                   const struct slots *slots, struct error *err)
{
	_cleanup_service_ struct service now;
	int r;

	service_init(&now);
	r = service_try_open(&now, service->pins.service, err);
	if (r == SERVICE_NONE)
		return drain_wait_detached_error(service, err);
	if (r != SERVICE_OPEN)
		return r < 0 ? r : -EBUSY;
	r = drain_wait_check_unchanged(service, o, slots, err);
	if (r == 0) /* the open maps don't show that pins were removed by hand */
		r = drain_wait_check_unchanged(&now, o, slots, err);
	if (r == 0 && !now.conns.counting)
		return error_set(err, -ECANCELED, "connections are not counted any more: %s",
		                 now.conns.why);
	return r;
}

/* By the counts nothing is left: checks that with the kernel's list of connections. */
static int drain_wait_confirm(const struct service *service, const struct observed *o,
                              const struct drain_wait_request *request, struct error *err)
{
	_cleanup_connections_ struct connections listed = {};
	int r = drain_wait_check_locked(service, o, &request->slots, err);

	if (r == 0)
		r = connections_take(service, o, &request->slots, false, &listed, err);
	if (r == 0 && listed.n > 0)
		return error_set(err, -EIO, "%zu open connections were not counted", listed.n);
	return r;
}

/* Waits until the slots are empty, or until @deadline. Fails as soon as another command has changed
 * the service or the slots. */
static int drain_wait_until(const struct service *service, const struct observed *o,
                            const struct drain_wait_request *request, double begin, double deadline,
                            struct drain_wait_result *result, struct error *err)
{
	const struct timespec pause = {.tv_nsec = DRAIN_WAIT_PAUSE_NS};

	for (int reads = 0;;) {
		int r = drain_wait_check_unchanged(service, o, &request->slots, err);

		if (r == 0)
			r = drain_wait_read(service, o, &request->slots, &result->left, err);
		if (r < 0)
			return r;
		result->seconds = clock_s(CLOCK_MONOTONIC) - begin;
		reads = drain_wait_is_empty(&result->left) ? reads + 1 : 0;
		result->empty = reads == DRAIN_WAIT_READS;
		if (request->progress)
			request->progress(&result->left, result->seconds, request->data);
		if (result->empty)
			return drain_wait_confirm(service, o, request, err);
		if (reads == 0 && clock_s(CLOCK_MONOTONIC) >= deadline)
			return 0;
		nanosleep(&pause, NULL);
	}
}

/* Resets the connections that are left, except those that may be another worker's. */
static int drain_wait_close_remaining(const struct service *service, const struct observed *o,
                                      const struct drain_wait_request *request,
                                      struct drain_wait_result *result, struct error *err)
{
	const struct connections *all = &result->remaining;
	_cleanup_free_ struct connection *known = calloc(all->n + 1, sizeof(*known));
	size_t n = 0;
	int r = drain_wait_check_locked(service, o, &request->slots, err);

	if (r < 0)
		return r;
	if (!known)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < all->n; i++)
		if (all->rows[i].slot >= 0)
			known[n++] = all->rows[i].connection;
	return sockdiag_conn_reset(known, n, &result->n_closed, err);
}

int drain_wait(struct service *service, const struct observed *observed,
               const struct drain_wait_request *request, struct drain_wait_result *ret,
               struct error *err)
{
	_cleanup_drain_wait_ struct drain_wait_result result = {};
	double begin = clock_s(CLOCK_MONOTONIC);
	int r = drain_wait_check(service, observed, &request->slots, err);

	if (r < 0)
		return r;
	pins_unlock(&service->pins);
	r = drain_wait_until(service, observed, request, begin, begin + request->timeout, &result,
	                     err);
	if (r == 0 && !result.empty)
		r = connections_take(service, observed, &request->slots, false, &result.remaining,
		                     err);
	if (r == 0 && !result.empty && request->close_remaining)
		r = drain_wait_close_remaining(service, observed, request, &result, err);
	if (r == 0 && result.n_closed > 0)
		r = drain_wait_until(service, observed, request, begin,
		                     clock_s(CLOCK_MONOTONIC) + DRAIN_WAIT_RESET_S, &result, err);
	if (r < 0)
		return r;
	*ret = result;
	memset(&result, 0, sizeof(result)); /* handed on */
	return 0;
}
