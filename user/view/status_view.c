/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/status_view.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "base/memory.h"
#include "core/deployment_outcome.h"
#include "core/endpoint.h"
#include "core/policy.h"
#include "kern/steer_counters.h"
#include "service/deployment_file.h"
#include "service/service_in_force.h"
#include "service/service_supervisor.h"
#include "view/counters_view.h"
#include "view/deployment_view.h"
#include "view/foreign_view.h"
#include "view/former_view.h"
#include "view/ready_view.h"
#include "view/response_view.h"
#include "view/version_view.h"
#include "view/wrap.h"

#define NOT_COUNTED "Connections are not counted: "

/* What selects the worker on the endpoint; steered_by is null if the steering program does, or if
 * that is unknown. */
static void status_view_add_in_force(struct json_object *to, const struct in_force *found,
                                     unsigned int endpoint)
{
	const bool lost = in_force_is_lost(found, endpoint);
	char text[IN_FORCE_TEXT_MAX];

	json_build_value(to, "in_force",
	                 lost || found->state[endpoint] == IN_FORCE_OURS
	                         ? memory_need(json_object_new_boolean(!lost))
	                         : NULL);
	json_build_text(to, "steered_by", lost ? in_force_describe(found, endpoint, text) : NULL);
}

static void status_view_add_endpoints(struct json_object *to, const struct service *service,
                                      const struct in_force *found)
{
	const struct rpd_service *info = service->steer.service;
	struct json_object *view = json_build_array(to, "endpoints"), *row;
	char text[ENDPOINT_TEXT_MAX], remedy[256];

	if (in_force_find_lost(found) >= 0)
		json_build_text(to, "remedy",
		                service_in_force_remedy(service, found, remedy, sizeof(remedy)));
	for (unsigned int i = 0; i < info->n_endpoints; i++) {
		const struct rpd_endpoint *e = &info->endpoints[i];

		if (!steer_has_endpoint(&service->steer, i))
			continue;
		row = json_build_row(view);
		json_build_text(row, "endpoint", endpoint_format(e, text, sizeof(text)));
		inet_ntop(e->family, e->addr, text, sizeof(text));
		json_build_text(row, "address", text);
		json_build_number(row, "port", e->port);
		json_build_flag(row, "v6only", e->v6only);
		json_build_number(row, "ifindex", e->ifindex);
		json_build_number(row, "uid", e->uid);
		status_view_add_in_force(row, found, i);
	}
}

/* The counters of all workers, and of the runs of the program that reached none. */
static void status_view_add_totals(struct json_object *to, const struct counters *rows)
{
	struct counters sum = {};

	for (unsigned int row = 0; row < RPD_ROW_MAX; row++)
		for (unsigned int o = 0; o < RPD_OUTCOME_MAX; o++)
			sum.of[o] += rows[row].of[o];
	counters_view_add(to, &sum);
}

static void status_view_add_schedule(struct json_object *to, const struct rpd_schedule *s)
{
	struct json_object *ring;

	json_build_text(to, "policy", policy_name(s->policy));
	json_build_flag(to, "strict", s->flags & RPD_STRICT);
	if (s->stuck_after)
		json_build_real(to, "skip_stuck_ms",
		                (double)((uint64_t)s->stuck_after << RPD_TICK_LOG) / 1e6);
	if (s->only_version != RPD_NO_VERSION)
		json_build_text(to, "only_version", s->versions[s->only_version].label);
	if (s->canary_permille)
		json_build_real(to, "canary_percent", s->canary_permille / 10.0);
	ring = json_build_object(to, "ring");
	json_build_number(ring, "length", s->ring_len);
	json_build_number(ring, "slots", s->n_ring_slots);
	json_build_number(ring, "rounding_error_ppm", s->rounding_ppm);
}

/* The pid is null if the supervisor has died. */
static void status_view_add_supervisor(struct json_object *to, const struct service *service)
{
	uint32_t supervisor = service_supervisor_pid(service);

	json_build_flag(to, "run", service_is_run(service));
	if (service_is_run(service))
		json_build_known(to, "supervisor_pid", supervisor, supervisor);
}

/* How many deployments have ended, by outcome. @state: what the supervisor keeps of the last one;
 * NULL: there was none. */
static void status_view_add_ended(struct json_object *to, struct json_object *state)
{
	struct json_object *view = json_build_object(to, "deployments_ended");
	struct json_object *ended = json_read_value(state, "ended");

	for (enum deployment_outcome_kind i = DEPLOYMENT_PROMOTED; i < DEPLOYMENT_OUTCOME_MAX; i++)
		json_build_number(view, deployment_outcome_name(i),
		                  json_read_number(ended, deployment_outcome_name(i)));
}

/* As /ready answers if one worker is enough. */
static void status_view_add_readiness(struct json_object *to, const struct service *service,
                                      const struct observed *observed, const struct in_force *found)
{
	const struct min_live one = {};
	struct service_ready ready;
	struct ready_view view;

	service_ready_read(service, observed, found, &ready);
	ready_view_begin(&view, &one);
	ready_view_add(&view, service->pins.service, &ready);
	json_build_value(to, "readiness", ready_view_new(&view));
}

/* The deployment that is under way, or the last one, while it can be rolled back at once. */
static void status_view_add_deployment(struct json_object *to, const struct service *service)
{
	struct json_object *deployment = NULL;
	struct error ignored;

	if (!service_is_run(service) ||
	    deployment_file_read_whole(service->pins.service, &deployment, &ignored) < 0)
		return;
	status_view_add_ended(to, json_read_value(deployment, "state"));
	if (deployment)
		json_object_object_del(deployment, "state");
	if (deployment && deployment_view_is_current(deployment))
		json_build_value(to, "deployment", deployment);
	else
		json_object_put(deployment);
}

static void status_view_add_counting(struct json_object *to, const struct service_stats *stats)
{
	json_build_flag(to, "counting", stats->counting);
	if (!stats->counting)
		json_build_text(to, "not_counting", stats->error);
	json_build_known(to, "unattributed_active", stats->counting, stats->unattributed);
	json_build_known(to, "uncounted", stats->counting, stats->uncounted);
}

int status_view_new(const struct service *service, const struct observed *observed,
                    const struct service_stats *stats, enum worker_view_detail detail,
                    struct json_object **ret, struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	_cleanup_free_ struct counters *counts = calloc(RPD_ROW_MAX, sizeof(*counts));
	struct json_object *view;
	int r;

	if (!counts)
		return error_set(err, -ENOMEM, "out of memory");
	r = steer_counters_read(&service->steer, counts, err);
	if (r < 0)
		return r;
	view = json_build_new_object();
	json_build_text(view, "service", service->pins.service);
	status_view_add_schedule(view, steer_schedule(&service->steer));
	json_build_number(view, "attached_at", info->attached_at);
	status_view_add_supervisor(view, service);
	status_view_add_readiness(view, service, observed, &stats->in_force);
	status_view_add_deployment(view, service);
	json_build_known(view, "parked", service_is_run(service), observed->n_parked);
	status_view_add_endpoints(view, service, &stats->in_force);
	worker_view_add(view, service, observed, stats, counts, detail);
	version_view_add(view, service, stats, detail >= WORKER_VIEW_COUNTERS);
	status_view_add_totals(view, counts);
	foreign_view_add(view, service, observed);
	status_view_add_counting(view, stats);
	r = former_view_add(view, service, err);
	if (r < 0) {
		json_object_put(view);
		return r;
	}
	*ret = view;
	return 0;
}

static void status_view_print_supervisor(FILE *out, struct json_object *view)
{
	int64_t supervisor = json_read_number(view, "supervisor_pid");
	int64_t parked = json_read_number(view, "parked");

	if (!json_read_flag(view, "run"))
		return;
	if (supervisor)
		fprintf(out, ", run by pid %" PRId64, supervisor);
	else
		fputs(", its supervisor has died", out);
	if (parked > 0)
		fprintf(out, ", %" PRId64 " parked", parked);
}

/* In percent. */
static double status_view_rounding_error(struct json_object *view)
{
	return json_read_number(json_read_value(view, "ring"), "rounding_error_ppm") / 1e4;
}

/* The endpoints where all that follows has no effect. */
static void status_view_print_lost(FILE *out, struct json_object *view)
{
	struct json_object *endpoints = json_read_value(view, "endpoints");
	const char *remedy = json_read_text(view, "remedy");

	for (size_t i = 0; i < json_object_array_length(endpoints); i++) {
		struct json_object *row = json_object_array_get_idx(endpoints, i);

		if (json_read_text(row, "steered_by"))
			fprintf(out, "NOT IN FORCE on %s: %s selects the worker\n",
			        json_read_text(row, "endpoint"), json_read_text(row, "steered_by"));
	}
	if (remedy)
		fprintf(out, "%s\n", remedy);
}

static void status_view_print_head(FILE *out, struct json_object *view)
{
	struct json_object *endpoints = json_read_value(view, "endpoints");
	const char *only = json_read_text(view, "only_version");
	double rounding = status_view_rounding_error(view);

	fprintf(out, "service %s, %s%s, ring of %" PRId64, json_read_text(view, "service"),
	        json_read_text(view, "policy"), json_read_flag(view, "strict") ? ", strict" : "",
	        json_read_number(json_read_value(view, "ring"), "length"));
	if (rounding > 0)
		fprintf(out, " (shares rounded by up to %.2g%%)", rounding);
	if (only)
		fprintf(out, ", only version %s", only);
	status_view_print_supervisor(out, view);
	if (json_read_value(json_read_value(view, "readiness"), "draining_since"))
		fputs(", draining: /ready answers 503", out);
	fputs("\nendpoints", out);
	if (json_object_array_length(endpoints) == 0)
		fputs(" none yet", out);
	for (size_t i = 0; i < json_object_array_length(endpoints); i++)
		fprintf(out, " %s",
		        json_read_text(json_object_array_get_idx(endpoints, i), "endpoint"));
	fputc('\n', out);
	if (json_read_value(view, "deployment"))
		deployment_view_print_wrapped(out, json_read_value(view, "deployment"));
	status_view_print_lost(out, view);
	fputc('\n', out);
}

/* What the table of the workers can't show of their connections. */
static void status_view_print_counting(FILE *out, struct json_object *view)
{
	struct json_object *workers = json_read_value(view, "workers");
	const char *why = json_read_text(view, "not_counting");
	int64_t unattributed = json_read_number(view, "unattributed_active");
	int64_t uncounted = json_read_number(view, "uncounted");

	if (why) {
		fputs("\n" NOT_COUNTED, out);
		wrap_print(out, why, sizeof(NOT_COUNTED) - 1, 0);
	}
	if (uncounted > 0)
		fprintf(out,
		        "\n%" PRId64
		        " connection%s not counted: there was no room (`attach --count-max`),\n"
		        "or they were open before attach and could not be listed.\n",
		        uncounted, uncounted == 1 ? " was" : "s were");
	if (unattributed > 0)
		fprintf(out,
		        "\n%" PRId64
		        " connection%s open before the counting began; the worker is unknown.\n",
		        unattributed, unattributed == 1 ? " was" : "s were");
	for (size_t i = 0; i < json_object_array_length(workers); i++) {
		struct json_object *row = json_object_array_get_idx(workers, i);
		int64_t former = json_read_number(row, "former_active");
		const char *not_counted = json_read_text(row, "not_counted");

		if (not_counted) {
			fprintf(out, "\nSlot %" PRId64 ": ", json_read_number(row, "slot"));
			wrap_print(out, not_counted, 9, 0);
		}
		if (former > 0)
			fprintf(out,
			        "\nSlot %" PRId64 ": %" PRId64
			        " connection%s of former workers %s open.\n",
			        json_read_number(row, "slot"), former, former == 1 ? "" : "s",
			        former == 1 ? "is" : "are");
	}
}

void status_view_print(FILE *out, struct json_object *view)
{
	status_view_print_head(out, view);
	worker_view_print(out, view);
	former_view_print(out, view);
	response_view_print(out, view);
	status_view_print_counting(out, view);
	counters_view_print(out, json_read_value(view, "counters"));
	foreign_view_print(out, json_read_value(view, "foreign_listeners"));
}

size_t status_view_count_taking(struct json_object *view)
{
	struct json_object *workers = json_read_value(view, "workers");
	size_t n = 0;

	for (size_t i = 0; i < json_object_array_length(workers); i++)
		n += json_read_real(json_object_array_get_idx(workers, i), "share_percent") > 0;
	return n;
}

void status_view_print_summary(FILE *out, struct json_object *view)
{
	double rounding = status_view_rounding_error(view);

	fprintf(out, "%s: %zu of %zu workers take new connections", json_read_text(view, "service"),
	        status_view_count_taking(view), json_read_length(view, "workers"));
	if (rounding > 0)
		fprintf(out, ", shares rounded by up to %.2g%%", rounding);
	fputc('\n', out);
}
