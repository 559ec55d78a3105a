/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "core/slot_status.h"
#include "core/endpoint.h"
#include "service/service_supervisor.h"
#include "view/view.h"
#include "core/policy.h"
#include "kern/steer_counters.h"

/* The view's keys are literals, and each is added once. With 1,024 workers it pays to say so. */
static void status_add(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add_ex(to, key, value,
	                          JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

static void status_add_text(struct json_object *to, const char *key, const char *text)
{
	status_add(to, key, json_object_new_string(text));
}

static void status_add_number(struct json_object *to, const char *key, int64_t number)
{
	status_add(to, key, json_object_new_int64(number));
}

static void status_add_flag(struct json_object *to, const char *key, bool flag)
{
	status_add(to, key, json_object_new_boolean(flag));
}

static int64_t status_number_of(struct json_object *of, const char *key)
{
	return json_object_get_int64(json_object_object_get(of, key));
}

static const char *status_text_of(struct json_object *of, const char *key)
{
	return json_object_get_string(json_object_object_get(of, key));
}

static struct json_object *status_endpoint_view(const struct rpd_endpoint *e)
{
	struct json_object *view = json_object_new_object();
	char text[ENDPOINT_TEXT_MAX];

	status_add_text(view, "endpoint", endpoint_format(e, text, sizeof(text)));
	inet_ntop(e->family, e->addr, text, sizeof(text));
	status_add_text(view, "address", text);
	status_add_number(view, "port", e->port);
	status_add_flag(view, "v6only", e->v6only);
	status_add_number(view, "ifindex", e->ifindex);
	status_add_number(view, "uid", e->uid);
	return view;
}

/* Every counter by its name, from the one list. */
static void status_add_counters(struct json_object *to, const struct counters *counts)
{
#define RPD_COUNTER(name, help) status_add_number(to, #name, counts->of[RPD_OUTCOME_##name]);
#include <reuseportd/counters.def>
}

static struct json_object *status_slot_listeners(const struct service *service,
                                                 const struct observed *observed, unsigned int slot)
{
	struct json_object *array = json_object_new_array();
	char text[ENDPOINT_TEXT_MAX];

	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		uint64_t cookie = observed->slots[slot].cookies[e];
		const struct listener *listener = observed_listener(observed, cookie);
		struct json_object *view;

		if (!listener)
			continue;
		view = json_object_new_object();
		status_add_text(
		        view, "endpoint",
		        endpoint_format(&service->steer.service->endpoints[e], text, sizeof(text)));
		status_add_number(view, "cookie", cookie);
		status_add_number(view, "inode", listener->inode);
		status_add_number(view, "queued", listener->queue);
		status_add_number(view, "backlog", listener->backlog);
		json_object_array_add(array, view);
	}
	return array;
}

static unsigned int status_live_entries(const struct rpd_schedule *s,
                                        const struct observed *observed)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < observed->n_slots; i++)
		if (observed->slots[i].live)
			n += s->slots[i].entries;
	return n;
}

/* A slot's share of new connections. The program passes over a slot without a listener and goes on
 * along the ring, so the others have its turns in proportion to their own: @live of them. */
static double status_share_percent(const struct rpd_schedule *s, const struct observed *observed,
                                   unsigned int live, unsigned int slot)
{
	if (!observed->slots[slot].live || live == 0)
		return 0;
	return 100.0 * s->slots[slot].entries / live;
}

/* What isn't known is null. */
static void status_add_known(struct json_object *to, const char *key, bool known, uint64_t number)
{
	status_add(to, key, known ? json_object_new_int64(number) : NULL);
}

static void status_add_load(struct json_object *view, const struct worker_stats *load,
                            const struct observed_slot *seen)
{
	struct json_object *counts = load->counted ? json_object_new_object() : NULL;

	status_add_known(view, "active", load->counted && !load->count.of[RPD_CONN_uncounted],
	                 load->active);
	status_add_known(view, "former_active", load->counted && !load->former_uncounted,
	                 load->former_active);
	status_add_known(view, "handshakes", load->counted, load->handshakes);
	status_add_known(view, "queued", seen->live, load->queued);
	status_add_known(view, "backlog", seen->live, load->backlog);
	status_add(view, "rate", load->counted ? json_object_new_double(load->rate) : NULL);
	status_add_known(view, "age_seconds", seen->there, load->age_s);
	status_add_known(view, "started_at", seen->there, load->started_at);
	if (load->counted) {
#define RPD_CONN_COUNTER(name, help)                                                               \
	status_add_number(counts, #name, load->count.of[RPD_CONN_##name]);
#include <reuseportd/counters.def>
	}
	status_add(view, "connections", counts);
}

static struct json_object *status_worker_view(const struct service *service,
                                              const struct observed *observed,
                                              const struct worker_stats *load, unsigned int slot,
                                              unsigned int live, const struct counters *counts)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	const struct observed_slot *seen = &observed->slots[slot];
	const bool has_listener = seen->worker.pid && seen->worker.fd >= 0;
	struct json_object *view = json_object_new_object();
	struct json_object *counters = json_object_new_object();

	status_add_number(view, "slot", slot);
	status_add_text(view, "state",
	                slot_status_name(slot_status_decide(s, slot, seen->there, seen->stalled,
	                                                    seen->worker.run)));
	status_add_flag(view, "live", seen->there);
	status_add_text(view, "version",
	                s->slots[slot].state == RPD_SLOT_EMPTY
	                        ? service->steer.service->label
	                        : s->versions[s->slots[slot].version].label);
	status_add_number(view, "weight", s->slots[slot].weight);
	status_add_number(view, "ring_entries", s->slots[slot].entries);
	status_add(view, "share_percent",
	           json_object_new_double(status_share_percent(s, observed, live, slot)));
	status_add_known(view, "pid", seen->main.id.pid, seen->main.id.pid);
	status_add(view, "command",
	           seen->main.id.pid ? json_object_new_string(seen->main.comm) : NULL);
	status_add_known(view, "fd", has_listener, seen->worker.fd);
	if (service_is_run(service)) {
		/* Whose descriptor that is: of a pre-fork server a child's. */
		status_add_known(view, "listener_pid", has_listener, seen->worker.pid);
		status_add_number(view, "restarts", seen->worker.restarts);
	}
	/* New connections, whether the ring named this slot or one that was gone. */
	status_add_number(view, "steered",
	                  counts->of[RPD_OUTCOME_steered] + counts->of[RPD_OUTCOME_slot_gone]);
	status_add_number(view, "admitted_at", seen->worker.admitted_at);
	status_add_load(view, load, seen);
	status_add(view, "listeners", status_slot_listeners(service, observed, slot));
	status_add_counters(counters, counts);
	status_add(view, "counters", counters);
	return view;
}

static struct json_object *status_workers_view(const struct service *service,
                                               const struct observed *observed,
                                               const struct service_stats *load,
                                               const struct counters *rows)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	unsigned int live = status_live_entries(s, observed);
	struct json_object *array = json_object_new_array();

	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		if (service_is_run(service) || s->slots[slot].state != RPD_SLOT_EMPTY)
			json_object_array_add(array, status_worker_view(service, observed,
			                                                &load->slots[slot], slot,
			                                                live, &rows[slot]));
	return array;
}

static struct json_object *status_totals_view(const struct counters *rows)
{
	struct json_object *view = json_object_new_object();
	struct counters sum = {};

	for (unsigned int row = 0; row < RPD_ROW_MAX; row++)
		for (unsigned int o = 0; o < RPD_OUTCOME_MAX; o++)
			sum.of[o] += rows[row].of[o];
	status_add_counters(view, &sum);
	return view;
}

static struct json_object *status_foreign_view(const struct service *service,
                                               const struct observed *observed)
{
	struct json_object *array = json_object_new_array();
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < observed->n_foreign; i++) {
		const struct observed_foreign *it = &observed->foreign[i];
		struct json_object *view = json_object_new_object();

		status_add_text(view, "endpoint",
		                endpoint_format(&service->steer.service->endpoints[it->endpoint],
		                                text, sizeof(text)));
		if (it->owner.id.pid) {
			status_add_number(view, "pid", it->owner.id.pid);
			status_add_number(view, "fd", it->owner.fd);
			status_add_text(view, "command", it->owner.comm);
		}
		status_add_flag(view, "former", it->former);
		status_add_flag(view, "alone", it->alone);
		json_object_array_add(array, view);
	}
	return array;
}

static void status_add_schedule(struct json_object *view, const struct rpd_schedule *s)
{
	struct json_object *ring = json_object_new_object();

	status_add_text(view, "policy", policy_name(s->policy));
	status_add_flag(view, "strict", s->flags & RPD_STRICT);
	if (s->only_version != RPD_NO_VERSION)
		status_add_text(view, "only_version", s->versions[s->only_version].label);
	if (s->canary_permille)
		status_add(view, "canary_percent",
		           json_object_new_double(s->canary_permille / 10.0));
	status_add_number(ring, "length", s->ring_len);
	status_add_number(ring, "slots", s->n_ring_slots);
	status_add_number(ring, "rounding_error_ppm", s->rounding_ppm);
	status_add(view, "ring", ring);
}

/* Who runs the service; null if nobody does any more. */
static void status_add_supervisor(struct json_object *view, const struct service *service)
{
	uint32_t supervisor = service_supervisor_pid(service);

	status_add_flag(view, "run", service_is_run(service));
	if (service_is_run(service))
		status_add_known(view, "supervisor_pid", supervisor, supervisor);
}

struct json_object *view_status(const struct service *service, const struct observed *observed,
                                const struct service_stats *load, struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	_cleanup_free_ struct counters *rows = calloc(RPD_ROW_MAX, sizeof(*rows));
	struct json_object *view, *endpoints;

	if (!rows) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	if (steer_counters_read(&service->steer, rows, err) < 0)
		return NULL;
	view = json_object_new_object();
	endpoints = json_object_new_array();
	status_add_text(view, "service", service->pins.service);
	status_add_schedule(view, steer_schedule(&service->steer));
	status_add_number(view, "attached_at", info->attached_at);
	status_add_supervisor(view, service);
	status_add_known(view, "parked", service_is_run(service), observed->n_parked);
	for (unsigned int e = 0; e < info->n_endpoints; e++)
		json_object_array_add(endpoints, status_endpoint_view(&info->endpoints[e]));
	status_add(view, "endpoints", endpoints);
	status_add(view, "workers", status_workers_view(service, observed, load, rows));
	status_add(view, "counters", status_totals_view(rows));
	status_add(view, "foreign_listeners", status_foreign_view(service, observed));
	status_add_flag(view, "counting", load->counting);
	if (!load->counting)
		status_add_text(view, "not_counting", load->error);
	status_add_known(view, "unattributed_active", load->counting, load->unattributed);
	status_add_known(view, "uncounted", load->counting, load->uncounted);
	return view;
}

static void status_print_supervisor(FILE *out, struct json_object *status)
{
	int64_t supervisor = status_number_of(status, "supervisor_pid");

	if (!json_object_get_boolean(json_object_object_get(status, "run")))
		return;
	if (supervisor)
		fprintf(out, ", run by pid %ld", supervisor);
	else
		fprintf(out, ", its supervisor has died");
	if (status_number_of(status, "parked") > 0)
		fprintf(out, ", %ld parked", status_number_of(status, "parked"));
}

static void status_print_head(FILE *out, struct json_object *status)
{
	struct json_object *ring = json_object_object_get(status, "ring");
	struct json_object *endpoints = json_object_object_get(status, "endpoints");
	const char *only = status_text_of(status, "only_version");
	double rounding = status_number_of(ring, "rounding_error_ppm") / 1e4;

	fprintf(out, "service %s, %s%s, ring of %ld", status_text_of(status, "service"),
	        status_text_of(status, "policy"),
	        json_object_get_boolean(json_object_object_get(status, "strict")) ? ", strict" : "",
	        status_number_of(ring, "length"));
	if (rounding > 0)
		fprintf(out, " (shares rounded by up to %.2g%%)", rounding);
	if (only)
		fprintf(out, ", only version %s", only);
	status_print_supervisor(out, status);
	fprintf(out, "\nendpoints");
	if (json_object_array_length(endpoints) == 0)
		fprintf(out, " none yet");
	for (size_t i = 0; i < json_object_array_length(endpoints); i++)
		fprintf(out, " %s",
		        status_text_of(json_object_array_get_idx(endpoints, i), "endpoint"));
	fprintf(out, "\n\n");
}

/* Counters that have counted something; all of them are in the JSON. */
static void status_print_counters(FILE *out, struct json_object *counters)
{
	static const struct {
		const char *name, *help;
	} list[] = {
#define RPD_COUNTER(name, help) {#name, help},
#include <reuseportd/counters.def>
	};

	fputc('\n', out);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		int64_t n = status_number_of(counters, list[i].name);

		if (n == 0 && i > 0)
			continue;
		fprintf(out, "%10ld %-10s  ", n, list[i].name);
		text_wrap(out, list[i].help, 23, 23);
	}
}

/* What the foreign listeners get. A group whose last listener closed has lost its program, whatever
 * --strict says; we can't tell whether there was such a moment. */
static void status_print_foreign(FILE *out, struct json_object *foreign)
{
	static const struct column columns[] = {
	        {.title = "FOREIGN LISTENER ON", .key = "endpoint"},
	        {.title = "PID", .key = "pid"},
	        {.title = "FD", .key = "fd"},
	        {.title = "COMMAND", .key = "command"},
	        {.title = "SWAPPED OUT", .key = "former"},
	};
	size_t n = json_object_array_length(foreign), alone = 0;

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		alone += json_object_get_boolean(
		        json_object_object_get(json_object_array_get_idx(foreign, i), "alone"));
	fputc('\n', out);
	table_print(out, foreign, columns, ARRAY_SIZE(columns));
	if (alone < n)
		fprintf(out, "They get no new connection while an admitted worker lives.\n");
	if (alone > 0)
		fprintf(out,
		        "No admitted worker listens on %s any more: the kernel's hash\n"
		        "chooses among the foreign ones. `reuseportd attach` again steers to "
		        "them.\n",
		        alone < n ? "some of these" : "it");
}

/* What the table of the workers can't say of their connections. */
static void status_print_counting(FILE *out, struct json_object *status)
{
	struct json_object *workers = json_object_object_get(status, "workers");
	const char *why = status_text_of(status, "not_counting");
	int64_t unattributed = status_number_of(status, "unattributed_active");

	if (why) {
		fprintf(out, "\nConnections are not counted: ");
		text_wrap(out, why, sizeof("Connections are not counted: ") - 1, 0);
	}
	if (status_number_of(status, "uncounted") > 0)
		fprintf(out,
		        "\n%ld connections were not counted, for want of room (`attach "
		        "--count-max`)\nor as they were open before attach and could not be "
		        "listed.\n",
		        status_number_of(status, "uncounted"));
	if (unattributed > 0)
		fprintf(out,
		        "\n%ld connections were open before they were counted, of an unknown "
		        "worker.\n",
		        unattributed);
	for (size_t i = 0; i < json_object_array_length(workers); i++) {
		struct json_object *row = json_object_array_get_idx(workers, i);

		if (status_number_of(row, "former_active") > 0)
			fprintf(out,
			        "\nSlot %ld: %ld connections of workers that were in it before.\n",
			        status_number_of(row, "slot"),
			        status_number_of(row, "former_active"));
	}
}

void view_status_text(FILE *out, struct json_object *status)
{
	static const struct column columns[] = {
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
	        {.title = "AGE", .key = "age_seconds", .format = format_age},
	        {.title = "RESTARTS", .key = "restarts"},
	};
	size_t n = ARRAY_SIZE(columns);

	status_print_head(out, status);
	if (!json_object_get_boolean(json_object_object_get(status, "run")))
		n--; /* who restarts them isn't known */
	table_print(out, json_object_object_get(status, "workers"), columns, n);
	status_print_counting(out, status);
	status_print_counters(out, json_object_object_get(status, "counters"));
	status_print_foreign(out, json_object_object_get(status, "foreign_listeners"));
}

void view_change_text(FILE *out, struct json_object *status)
{
	struct json_object *ring = json_object_object_get(status, "ring");
	struct json_object *workers = json_object_object_get(status, "workers");
	double rounding = status_number_of(ring, "rounding_error_ppm") / 1e4;
	size_t n = json_object_array_length(workers), taking = 0;

	for (size_t i = 0; i < n; i++)
		taking += json_object_get_double(json_object_object_get(
		                  json_object_array_get_idx(workers, i), "share_percent")) > 0;
	fprintf(out, "%s: %zu of %zu workers take new connections",
	        status_text_of(status, "service"), taking, n);
	if (rounding > 0)
		fprintf(out, ", shares rounded by up to %.2g%%", rounding);
	fputc('\n', out);
}

struct json_object *view_list_new(void)
{
	return json_object_new_array();
}

void view_list_add(struct json_object *list, const struct service *service,
                   const struct observed *observed)
{
	const struct rpd_service *info = service->steer.service;
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	struct json_object *view = json_object_new_object();
	char text[ENDPOINT_TEXT_MAX];
	unsigned int live = 0;

	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		live += observed->slots[slot].there;
	status_add_text(view, "service", service->pins.service);
	status_add(view, "endpoint",
	           info->n_endpoints ? json_object_new_string(endpoint_format(&info->endpoints[0],
	                                                                      text, sizeof(text)))
	                             : NULL);
	status_add_number(view, "endpoints", info->n_endpoints);
	status_add_text(view, "policy", policy_name(s->policy));
	status_add_number(view, "workers", s->n_slots);
	status_add_number(view, "live", live);
	status_add_number(view, "in_ring", s->n_ring_slots);
	status_add_flag(view, "run", service_is_run(service));
	json_object_array_add(list, view);
}

void view_list_add_broken(struct json_object *list, const char *name, const char *why)
{
	struct json_object *view = json_object_new_object();

	status_add_text(view, "service", name);
	status_add_text(view, "error", why);
	json_object_array_add(list, view);
}

void view_list_text(FILE *out, struct json_object *list)
{
	static const struct column columns[] = {
	        {.title = "SERVICE", .key = "service"}, {.title = "ENDPOINT", .key = "endpoint"},
	        {.title = "POLICY", .key = "policy"},   {.title = "WORKERS", .key = "workers"},
	        {.title = "LIVE", .key = "live"},       {.title = "IN RING", .key = "in_ring"},
	};

	table_print(out, list, columns, ARRAY_SIZE(columns));
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *row = json_object_array_get_idx(list, i);

		if (status_text_of(row, "error"))
			fprintf(out, "%s: %s\n", status_text_of(row, "service"),
			        status_text_of(row, "error"));
	}
}
