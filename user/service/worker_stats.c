/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/worker_stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/connection_rate.h"
#include "kern/conns.h"
#include "kern/steer_queues.h"
#include "service/generation.h"

void worker_stats_free(struct service_stats *stats)
{
	free(stats->slots);
	free(stats->responses);
	free(stats->versions);
	memset(stats, 0, sizeof(*stats));
}

static void worker_stats_take_age(const struct process *process, struct worker_stats *ret)
{
	double begun = (double)process->id.start_time / (double)sysconf(_SC_CLK_TCK);
	double age = clock_s(CLOCK_BOOTTIME) - begun;

	ret->age_s = age > 0 ? (uint64_t)age : 0;
	ret->started_at = (uint64_t)(clock_s(CLOCK_REALTIME) - age + 0.5);
}

static void worker_stats_take_queues(const struct service *service, const struct observed *observed,
                                     unsigned int slot, struct worker_stats *ret)
{
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		const struct listener *listener =
		        observed_listener(observed, observed->slots[slot].cookies[e]);

		if (!listener)
			continue;
		ret->queued += listener->queue;
		ret->backlog += listener->backlog;
	}
}

/* @listener: NULL = the slot has none, or no turn is passed on because a worker is stuck. */
static void worker_stats_take_row(const struct rpd_queue *row, uint32_t now,
                                  const struct listener *listener, struct worker_stats *ret)
{
	const uint32_t ticks = now - (uint32_t)(row->seen >> 32);
	const double unmoved_s = (double)((uint64_t)ticks << RPD_TICK_LOG) / NS_PER_S;

	for (unsigned int i = 0; i < RPD_PASS_MAX; i++)
		ret->turns_lost[i] += row->passed[i];
	if (!row->is_stuck || !listener || !listener->queue)
		return;
	ret->stuck = true;
	if (ret->unmoved_s < unmoved_s)
		ret->unmoved_s = unmoved_s;
}

/* What the steering program has seen of the queues. Its rows can be out of date, if a worker has
 * accepted since its last turn. */
static int worker_stats_take_seen(const struct service *service, const struct observed *observed,
                                  struct worker_stats *slots)
{
	_cleanup_free_ struct rpd_queue *rows = calloc(observed->n_slots + 1, sizeof(*rows));
	const uint32_t now = clock_ns(CLOCK_MONOTONIC) >> RPD_TICK_LOG;
	const bool skips = steer_schedule(&service->steer)->stuck_after;
	int r = rows ? 0 : -ENOMEM;

	for (unsigned int e = 0; r == 0 && e < service->steer.service->n_endpoints; e++) {
		if (!steer_has_endpoint(&service->steer, e))
			continue;
		r = steer_queues_read(&service->steer, e, observed->n_slots, rows);
		for (unsigned int slot = 0; r == 0 && slot < observed->n_slots; slot++)
			worker_stats_take_row(
			        &rows[slot], now,
			        skips ? observed_listener(observed,
			                                  observed->slots[slot].cookies[e])
			              : NULL,
			        &slots[slot]);
	}
	return r;
}

/* Adds the counts of one generation of all slots: to the present worker if it has that generation,
 * else to the former ones. */
static int worker_stats_take_generation(const struct service *service,
                                        const struct observed *observed, uint16_t first,
                                        struct worker_stats *slots)
{
	_cleanup_free_ struct conn_count *counts = calloc(observed->n_slots, sizeof(*counts));
	int r = counts ? conns_read_counts(&service->steer, first, observed->n_slots, counts)
	               : -ENOMEM;

	for (unsigned int slot = 0; r == 0 && slot < observed->n_slots; slot++) {
		struct worker_stats *it = &slots[slot];

		if (observed->slots[slot].worker->account == first + slot) {
			it->count = counts[slot];
			it->active = conn_count_still_open(&counts[slot]);
			it->counted = true;
		} else {
			it->former_active += conn_count_still_open(&counts[slot]);
			it->former_uncounted += counts[slot].of[RPD_CONN_uncounted];
		}
	}
	return r;
}

static int worker_stats_take_counts(const struct service *service, const struct observed *observed,
                                    struct worker_stats *slots)
{
	_cleanup_free_ struct conn_seconds *seconds =
	        calloc(observed->n_slots + 1, sizeof(*seconds));
	const uint32_t n_generations = service->steer.control->n_generations;
	int r = seconds ? conns_read_rates(&service->conns, observed->n_slots, seconds) : -ENOMEM;

	for (unsigned int i = 0; r == 0 && observed->n_slots && i < n_generations; i++)
		r = worker_stats_take_generation(service, observed, i * RPD_SLOT_MAX, slots);
	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		slots[slot].all_generations_used =
		        generation_are_all_used(service, observed->slots[slot].worker);
	for (unsigned int slot = 0; r == 0 && slot < observed->n_slots; slot++)
		slots[slot].rate = connection_rate_mean(seconds[slot].opened);
	return r;
}

/* Handshakes, and which program is in force. */
static int worker_stats_take_groups(const struct service *service, const struct observed *observed,
                                    struct service_stats *stats, struct error *err)
{
	_cleanup_free_ struct rpd_group_member *more = NULL;
	const struct rpd_group_member *rows = observed->groups;
	size_t n = observed->n_groups;
	int r = 0;

	stats->in_force = (struct in_force){.n = service->steer.service->n_endpoints};
	if (!service->reachable)
		return 0;
	if (!rows) { /* why not? */
		r = groups_read(&service->groups, &more, &n, err);
		rows = more;
	}
	if (r < 0)
		return r;
	in_force_take(rows, n, &service->steer, &stats->in_force);
	in_force_look_up(rows, n, &service->steer, &stats->in_force);
	for (size_t i = 0; i < n; i++)
		for (size_t slot = 0; rows[i].under_way && slot < stats->n_slots; slot++)
			if (observed_is_in_slot(observed, slot, rows[i].cookie))
				stats->slots[slot].handshakes += rows[i].under_way;
	return 0;
}

static int worker_stats_take_counted(const struct service *service, const struct observed *observed,
                                     struct service_stats *stats, struct error *err)
{
	uint64_t uncounted = service->steer.control->n_unlisted;
	struct conn_count unknown;
	int r = worker_stats_take_counts(service, observed, stats->slots);

	if (r < 0)
		return error_set(err, r, "can't read the counts of the slots: %s", strerror(-r));
	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		uncounted += stats->slots[slot].former_uncounted +
		             stats->slots[slot].count.of[RPD_CONN_uncounted];
	r = conns_read_count(&service->steer, RPD_ACCOUNT_UNKNOWN, &unknown);
	if (r < 0)
		return error_set(err, r, "can't read the counts: %s", strerror(-r));
	stats->unattributed = conn_count_still_open(&unknown);
	stats->uncounted = uncounted + unknown.of[RPD_CONN_uncounted];
	return 0;
}

static int worker_stats_take_responses(const struct service *service,
                                       const struct observed *observed, struct service_stats *stats)
{
	int r = 0;

	if (!response_stats_are_counted(service))
		return 0;
	stats->responses = calloc(observed->n_slots + 1, sizeof(*stats->responses));
	if (!stats->responses)
		return -ENOMEM;
	for (unsigned int slot = 0; r == 0 && slot < observed->n_slots; slot++)
		r = response_stats_of_generation(service, observed->slots[slot].worker->account,
		                                 &stats->responses[slot].count,
		                                 &stats->responses[slot].rate);
	return r < 0 ? r
	             : response_stats_of_versions(service, &stats->versions, &stats->n_versions);
}

int worker_stats_take(const struct service *service, const struct observed *observed,
                      struct service_stats *ret, struct error *err)
{
	_cleanup_service_stats_ struct service_stats stats = {
	        .counting = service->conns.counting,
	        .n_slots = observed->n_slots,
	        .slots = calloc(observed->n_slots + 1, sizeof(*stats.slots)),
	};
	struct error why = {};
	int r;

	snprintf(stats.error, sizeof(stats.error), "%s", service->conns.why);
	if (!stats.slots)
		return error_set(err, -ENOMEM, "out of memory");
	for (unsigned int slot = 0; slot < observed->n_slots; slot++) {
		worker_stats_take_queues(service, observed, slot, &stats.slots[slot]);
		if (observed->slots[slot].there)
			worker_stats_take_age(&observed->slots[slot].main, &stats.slots[slot]);
	}
	r = worker_stats_take_seen(service, observed, stats.slots);
	if (r < 0)
		return error_set(err, r, "can't read what the program has seen of the queues: %s",
		                 strerror(-r));
	r = worker_stats_take_responses(service, observed, &stats);
	if (r < 0)
		return error_set(err, r, "can't read the counts of HTTP responses: %s",
		                 strerror(-r));
	/* Reads the stages in the order that a connection passes through them: a connection that
	 * moves on meanwhile is seen twice, rather than not at all. */
	r = worker_stats_take_groups(service, observed, &stats, &why);
	if (r == 0 && stats.counting)
		r = worker_stats_take_counted(service, observed, &stats, &why);
	/* If the counts can't be read, the other numbers are still worth showing. */
	if (r < 0 && stats.counting) {
		stats.counting = false;
		snprintf(stats.error, sizeof(stats.error), "%.150s", why.text);
		for (unsigned int slot = 0; slot < observed->n_slots; slot++)
			stats.slots[slot].counted = false;
	}
	*ret = stats;
	memset(&stats, 0, sizeof(stats)); /* handed on */
	return 0;
}
