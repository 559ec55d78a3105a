/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/worker_view.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "core/endpoint.h"
#include "core/slot_status.h"
#include "kern/steer_counters.h"
#include "service/generation.h"
#include "service/observed.h"
#include "view/counters_view.h"
#include "view/response_view.h"
#include "view/table.h"
#include "view/wrap.h"

static void worker_view_add_listeners(struct json_object *to, const struct service *service,
                                      const struct observed *observed, unsigned int slot)
{
	const struct rpd_service *info = service->steer.service;
	struct json_object *view = json_build_array(to, "listeners"), *row;
	char text[ENDPOINT_TEXT_MAX];

	for (unsigned int e = 0; e < info->n_endpoints; e++) {
		uint64_t cookie = observed->slots[slot].cookies[e];
		const struct listener *listener = observed_listener(observed, cookie);

		if (!listener)
			continue;
		row = json_build_row(view);
		json_build_text(row, "endpoint",
		                endpoint_format(&info->endpoints[e], text, sizeof(text)));
		json_build_number(row, "cookie", cookie);
		json_build_number(row, "inode", listener->inode);
		json_build_number(row, "queued", listener->queue);
		json_build_number(row, "backlog", listener->backlog);
	}
}

/* Ring entries of the slots that have a listener. */
static unsigned int worker_view_count_live_entries(const struct rpd_schedule *s,
                                                   const struct observed *observed)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < observed->n_slots; i++)
		if (observed->slots[i].live)
			n += s->slots[i].entries;
	return n;
}

/* A slot's share of new connections. The program passes over a slot without a listener to the next
 * entry of the ring, so its turns go to the other slots in proportion to their @live entries. */
static double worker_view_share_percent(const struct rpd_schedule *s,
                                        const struct observed *observed, unsigned int live,
                                        unsigned int slot)
{
	if (!observed->slots[slot].live || live == 0)
		return 0;
	return 100.0 * s->slots[slot].entries / live;
}

static void worker_view_add_connections(struct json_object *to, const struct worker_stats *stats)
{
	struct json_object *view;

	if (!stats->counted) {
		json_build_value(to, "connections", NULL);
		return;
	}
	view = json_build_object(to, "connections");
#define RPD_CONN_COUNTER(name, help)                                                               \
	json_build_number(view, #name, stats->count.of[RPD_CONN_##name]);
#include <reuseportd/counters.def>
}

static void worker_view_add_turns_lost(struct json_object *to, const struct worker_stats *stats)
{
	struct json_object *view = json_build_object(to, "turns_lost");

#define RPD_PASS_COUNTER(name, help)                                                               \
	json_build_number(view, #name, stats->turns_lost[RPD_PASS_##name]);
#include <reuseportd/counters.def>
}

static void worker_view_add_stats(struct json_object *to, const struct worker_stats *stats,
                                  const struct observed_slot *seen)
{
	json_build_text(to, "not_counted",
	                stats->all_generations_used ? GENERATION_ALL_USED : NULL);
	json_build_known(to, "active", stats->counted && !stats->count.of[RPD_CONN_uncounted],
	                 stats->active);
	json_build_known(to, "former_active", stats->counted && !stats->former_uncounted,
	                 stats->former_active);
	json_build_known(to, "queued", seen->live, stats->queued);
	if (stats->counted)
		json_build_real(to, "rate", stats->rate);
	else
		json_build_value(to, "rate", NULL);
	json_build_known(to, "age_seconds", seen->there, stats->age_s);
}

static void worker_view_add_process(struct json_object *to, const struct service *service,
                                    const struct observed_slot *seen)
{
	char why[RPD_WHY_MAX];

	json_build_known(to, "pid", seen->main.id.pid, seen->main.id.pid);
	json_build_text(to, "command", seen->main.id.pid ? seen->main.comm : NULL);
	if (!service_is_run(service))
		return;
	snprintf(why, sizeof(why), "%.*s", RPD_WHY_MAX - 1, seen->worker->why);
	json_build_number(to, "restarts", seen->worker->restarts);
	json_build_text(to, "reason", why[0] ? why : NULL);
}

static void worker_view_add_counters(struct json_object *to, const struct worker_stats *stats,
                                     const struct observed_slot *seen,
                                     const struct counters *counts)
{
	json_build_known(to, "started_at", seen->there, stats->started_at);
	json_build_known(to, "handshakes", stats->counted, stats->handshakes);
	json_build_known(to, "backlog", seen->live, stats->backlog);
	if (stats->stuck)
		json_build_real(to, "queue_unmoved_seconds", stats->unmoved_s);
	else
		json_build_value(to, "queue_unmoved_seconds", NULL);
	worker_view_add_turns_lost(to, stats);
	worker_view_add_connections(to, stats);
	counters_view_add(to, counts);
}

static void worker_view_add_rest(struct json_object *to, const struct service *service,
                                 const struct observed *observed, unsigned int slot)
{
	const struct observed_slot *seen = &observed->slots[slot];
	const bool has_listener = seen->worker->pid && seen->worker->fd >= 0;

	json_build_flag(to, "live", seen->there);
	json_build_number(to, "ring_entries", steer_schedule(&service->steer)->slots[slot].entries);
	json_build_number(to, "admitted_at", seen->worker->admitted_at);
	json_build_known(to, "fd", has_listener, seen->worker->fd);
	/* The process that has this descriptor: a child of the worker if it is a pre-fork server.
	 */
	if (service_is_run(service))
		json_build_known(to, "listener_pid", has_listener, seen->worker->pid);
	worker_view_add_listeners(to, service, observed, slot);
}

static void worker_view_fill(struct json_object *view, const struct service *service,
                             const struct observed *observed, const struct worker_stats *stats,
                             unsigned int slot, unsigned int live, const struct counters *counts)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	const struct observed_slot *seen = &observed->slots[slot];
	enum slot_status status = slot_status_decide(s, slot, seen->there, seen->stalled,
	                                             stats->stuck, seen->worker->run);

	json_build_number(view, "slot", slot);
	json_build_text(view, "state", slot_status_name(status));
	json_build_text(view, "version",
	                s->slots[slot].state == RPD_SLOT_EMPTY
	                        ? service->steer.service->label
	                        : s->versions[s->slots[slot].version].label);
	json_build_number(view, "weight", s->slots[slot].weight);
	json_build_real(view, "share_percent", worker_view_share_percent(s, observed, live, slot));
	worker_view_add_process(view, service, seen);
	/* New connections that this worker got, in its own turns and in those of others. */
	json_build_number(view, "steered",
	                  counts->of[RPD_OUTCOME_steered] + counts->of[RPD_OUTCOME_slot_gone] +
	                          counts->of[RPD_OUTCOME_passed_on]);
	worker_view_add_stats(view, stats, seen);
}

void worker_view_add(struct json_object *to, const struct service *service,
                     const struct observed *observed, const struct service_stats *stats,
                     const struct counters *counts, enum worker_view_detail detail)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	unsigned int live = worker_view_count_live_entries(s, observed);
	struct json_object *view = json_build_array(to, "workers"), *row;

	for (unsigned int slot = 0; slot < observed->n_slots; slot++) {
		if (!service_is_run(service) && s->slots[slot].state == RPD_SLOT_EMPTY)
			continue;
		row = json_build_row(view);
		worker_view_fill(row, service, observed, &stats->slots[slot], slot, live,
		                 &counts[slot]);
		response_view_add(row, stats->responses ? &stats->responses[slot] : NULL,
		                  detail >= WORKER_VIEW_COUNTERS);
		if (detail >= WORKER_VIEW_COUNTERS)
			worker_view_add_counters(row, &stats->slots[slot], &observed->slots[slot],
			                         &counts[slot]);
		if (detail >= WORKER_VIEW_FULL)
			worker_view_add_rest(row, service, observed, slot);
	}
}

/* Why workers are missing or unhealthy. */
static void worker_view_print_reasons(FILE *out, struct json_object *workers)
{
	for (size_t i = 0; i < json_object_array_length(workers); i++) {
		struct json_object *row = json_object_array_get_idx(workers, i);

		const char *why = json_read_text(row, "reason");
		int at;

		if (!why)
			continue;
		at = fprintf(out, "\nSlot %" PRId64 " is %s: ", json_read_number(row, "slot"),
		             json_read_text(row, "state"));
		wrap_print(out, why, at - 1, 0);
	}
}

void worker_view_print(FILE *out, struct json_object *status)
{
	static const struct table_column columns[] = {
	        {.title = "SLOT", .key = "slot"},
	        {.title = "STATE", .key = "state"},
	        {.title = "VERSION", .key = "version"},
	        {.title = "WT", .key = "weight"},
	        {.title = "SHARE", .key = "share_percent", .suffix = "%"},
	        {.title = "PID", .key = "pid"},
	        {.title = "COMMAND", .key = "command"},
	        {.title = "STEERED", .key = "steered"},
	        {.title = "ACTIVE", .key = "active"},
	        {.title = "QUEUE", .key = "queued"},
	        {.title = "RATE/S", .key = "rate"},
	        {.title = "AGE", .key = "age_seconds", .format = table_format_age},
	        {.title = "RESTARTS", .key = "restarts"}, /* only of a service that is run */
	};
	size_t n = ARRAY_SIZE(columns);

	if (!json_read_flag(status, "run"))
		n--;
	table_print(out, json_read_value(status, "workers"), columns, n);
	worker_view_print_reasons(out, json_read_value(status, "workers"));
}
