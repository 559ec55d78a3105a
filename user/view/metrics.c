/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each metric is a row of a table, which names the member of the status view that has its value. A
 * member that is missing or null gives no sample.
 */
#include "view/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/json_read.h"
#include "base/memory.h"
#include "view/response_metrics.h"

struct metric {
	const char *name, *type, *help;
	const char *in; /* the object that has the member; NULL = the service or worker itself */
	/* The member. The value of an array is its length, that of a text is 1. */
	const char *key;
	/* Members that are labels of this metric only; of @in if it is set. */
	const char *labels[2];
	/* A label and its value. Rows with the same name follow each other, and have one head. */
	const char *constant;
	double parts; /* the value is divided by this; 0 = it is not */
};

static const struct metric service_metrics[] = {
        {"reuseportd_workers", "gauge", "workers that have a slot", .key = "workers"},
        {"reuseportd_foreign_listeners", "gauge",
         "listeners in the service's groups that were not admitted", .key = "foreign_listeners"},
        {"reuseportd_ring_length", "gauge", "entries of the schedule ring", .in = "ring",
         .key = "length"},
        {"reuseportd_ring_slots", "gauge", "workers that are in the schedule ring", .in = "ring",
         .key = "slots"},
        {"reuseportd_ring_rounding_error_ratio", "gauge",
         "largest relative rounding error of a worker's share", .in = "ring",
         .key = "rounding_error_ppm", .parts = 1e6},
        {"reuseportd_canary_share_ratio", "gauge",
         "share of new connections that all canary workers get together", .key = "canary_percent",
         .parts = 100},
        {"reuseportd_connections_parked", "gauge", "connections that wait because no worker lives",
         .key = "parked"},
        {"reuseportd_counting", "gauge", "whether connections are counted", .key = "counting"},
        {"reuseportd_connections_unattributed", "gauge",
         "open connections of an unknown worker: they were open before counting began",
         .key = "unattributed_active"},
        {"reuseportd_rollout_phase", "gauge",
         "always 1; its labels are the phase of the deployment and the new version. A deployment "
         "is shown while it is under way or can be rolled back at once",
         .in = "deployment", .key = "phase", .labels = {"new", "phase"}},
        {"reuseportd_rollout_step", "gauge", "step of the deployment, from 1; 0: it starts",
         .in = "deployment", .key = "step", .labels = {"new"}},
        {"reuseportd_rollout_share_ratio", "gauge",
         "share of new connections that the new version has", .in = "deployment", .key = "share",
         .labels = {"new"}, .parts = 100},
#define ROLLOUTS(name)                                                                             \
	{                                                                                          \
		"reuseportd_rollouts_total", "counter", "deployments that have ended, by outcome", \
		        .in = "deployments_ended", .key = (name),                                  \
		        .constant = "outcome=\"" name "\""                                         \
	}
        ROLLOUTS("promoted"),
        ROLLOUTS("aborted"),
        ROLLOUTS("rolled-back"),
        ROLLOUTS("failed"),
};

/* What a deployment is judged by. */
static const struct metric signal_metrics[] = {
        {"reuseportd_rollout_evidence", "gauge",
         "evidence that the new version is worse than the old one", .key = "evidence", .parts = 1},
        {"reuseportd_rollout_evidence_threshold", "gauge",
         "evidence from which on the new version is judged bad", .key = "threshold", .parts = 1},
};

#define VERSION_ERRORS(kind)                                                                       \
	"reuseportd_version_errors_total", "counter",                                              \
	        "connections that workers of the version reset, responses with status 5xx, and "   \
	        "requests without a response; the last two only while HTTP responses are counted", \
	        .constant = "kind=\"" kind "\""
static const struct metric version_metrics[] = {
        {"reuseportd_version_share_ratio", "gauge", "the version's share of new connections",
         .key = "share_percent", .parts = 100},
        {"reuseportd_version_connections_total", "counter",
         "connections established with workers of the version, former ones included",
         .in = "connections", .key = "opened"},
        {VERSION_ERRORS("reset"), .in = "connections", .key = "reset_by_worker"},
        {VERSION_ERRORS("5xx"), .in = "responses", .key = "5xx"},
        {VERSION_ERRORS("unanswered"), .key = "unanswered"},
};

static const struct metric endpoint_metrics[] = {
        {"reuseportd_steering_in_force", "gauge",
         "whether the steering program selects the worker, and no other program", .key = "in_force",
         .labels = {"endpoint"}},
};

static const struct metric worker_metrics[] = {
        {"reuseportd_worker_info", "gauge", "always 1; its labels name the worker's process",
         .key = "command", .labels = {"pid", "command"}},
        {"reuseportd_worker_state", "gauge", "always 1; its label is the state of the slot",
         .key = "state", .labels = {"state"}},
        {"reuseportd_worker_start_time_seconds", "gauge",
         "start time of the worker's process, in seconds since the epoch", .key = "started_at"},
        {"reuseportd_worker_weight", "gauge", "the worker's weight", .key = "weight"},
        {"reuseportd_worker_share_ratio", "gauge", "the worker's share of new connections",
         .key = "share_percent", .parts = 100},
        {"reuseportd_connections_active", "gauge", "open connections, accepted or not",
         .key = "active"},
        {"reuseportd_connections_former_active", "gauge",
         "open connections of former workers of the slot", .key = "former_active"},
        {"reuseportd_connections_queued", "gauge", "connections that wait to be accepted",
         .key = "queued"},
        {"reuseportd_accept_queue_unmoved_seconds", "gauge",
         "for how long a stuck worker has not accepted a connection",
         .key = "queue_unmoved_seconds", .parts = 1},
        {"reuseportd_accept_queue_limit", "gauge", "how many connections can wait to be accepted",
         .key = "backlog"},
        {"reuseportd_worker_restarts_total", "counter",
         "workers of the slot that ended and were replaced by the supervisor", .key = "restarts"},
        {"reuseportd_handshakes", "gauge", "handshakes under way", .key = "handshakes"},
#define RPD_COUNTER(name, help)                                                                    \
	{"reuseportd_" #name "_total", "counter", help, .in = "counters", .key = #name},
#define RPD_CONN_COUNTER(name, help)                                                               \
	{"reuseportd_connections_" #name "_total", "counter", help, .in = "connections",           \
	 .key = #name},
#define RPD_PASS_COUNTER(name, help)                                                               \
	{"reuseportd_turns_lost_" #name "_total", "counter", help, .in = "turns_lost",             \
	 .key = #name},
#include <reuseportd/counters.def>
};

/* What the metrics are of: the service itself, or each element of one of its arrays. */
enum rows_of { OF_SERVICE, OF_ENDPOINTS, OF_SIGNALS, OF_VERSIONS, OF_WORKERS, OF_MAX };

struct row {
	struct json_object *values; /* belongs to the view */
	const char *labels;         /* {service="...",slot="..." */
	/* Only of a worker: the value of each metric. Metrics are written one after the other; to
	 * look up a member of each of a thousand workers then would find none of them in a cache.
	 */
	struct json_object *found[ARRAY_SIZE(worker_metrics)];
};

struct service_rows {
	struct {
		struct row *at;
		size_t n;
	} of[OF_MAX];
	char *labels; /* of all rows; a NUL ends each */
};

static struct json_object *metrics_service(const struct service_rows *rows)
{
	return rows->of[OF_SERVICE].at->values;
}

/* Writes one character of a label's value. The format knows only three escapes; other characters
 * that a terminal would obey, and bytes that are not UTF-8, become the text \xNN. Returns the
 * number of its bytes. */
static size_t metrics_write_character(FILE *out, const char *at)
{
	uint32_t c;
	const size_t n = escape_read(at, &c);

	if (c == '\n')
		fputs("\\n", out);
	else if (c == '"' || c == '\\')
		fprintf(out, "\\%c", *at);
	else if (!escape_is_control(c))
		fwrite(at, 1, n, out);
	else
		for (size_t i = 0; i < n; i++)
			fprintf(out, "\\\\x%02x", (unsigned char)at[i]);
	return n;
}

/* Writes @before and the label @name, or nothing if there is no value. */
static void metrics_write_label(FILE *out, const char *before, const char *name,
                                struct json_object *value)
{
	if (!value)
		return;
	fputs(before, out);
	fputs(name, out);
	fputs("=\"", out);
	for (const char *at = json_read_as_text(value); *at;)
		at += metrics_write_character(out, at);
	fputc('"', out);
}

static struct json_object *metrics_member(const struct metric *m, struct json_object *values,
                                          const char *key)
{
	return json_read_value(m->in ? json_read_value(values, m->in) : values, key);
}

static struct json_object *metrics_value_of(const struct metric *m, struct json_object *values)
{
	return metrics_member(m, values, m->key);
}

/* Makes @n rows. @values: an array with an element for each; NULL: the caller sets it. */
static int metrics_make_rows(struct service_rows *rows, enum rows_of of, struct json_object *values,
                             size_t n)
{
	struct row *at = calloc(n + 1, sizeof(*at));

	if (!at)
		return -ENOMEM;
	for (size_t i = 0; values && i < n; i++)
		at[i].values = json_object_array_get_idx(values, i);
	rows->of[of].at = at;
	rows->of[of].n = n;
	return 0;
}

static void metrics_find_values(struct row *worker)
{
	struct json_object *values = worker->values;
	const char *in = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(worker_metrics); i++) {
		const struct metric *m = &worker_metrics[i];

		if (m->in != in)
			values = m->in ? json_read_value(worker->values, m->in) : worker->values;
		in = m->in;
		worker->found[i] = json_read_value(values, m->key);
	}
}

static void metrics_write_labels(FILE *out, const struct service_rows *rows, const struct row *row)
{
	metrics_write_label(out, "{", "service", json_read_value(metrics_service(rows), "service"));
	metrics_write_label(out, ",", "slot", json_read_value(row->values, "slot"));
	metrics_write_label(out, ",", "version", json_read_value(row->values, "version"));
	metrics_write_label(out, ",", "signal", json_read_value(row->values, "name"));
	fputc('\0', out);
}

static int metrics_label_rows(struct service_rows *rows)
{
	size_t size;
	FILE *out = open_memstream(&rows->labels, &size);
	const char *at;

	if (!out)
		return -ENOMEM;
	for (enum rows_of of = 0; of < OF_MAX; of++)
		for (size_t i = 0; i < rows->of[of].n; i++)
			metrics_write_labels(out, rows, &rows->of[of].at[i]);
	if (!memory_close_text(out, &rows->labels))
		return -ENOMEM;
	at = rows->labels;
	for (enum rows_of of = 0; of < OF_MAX; of++)
		for (size_t i = 0; i < rows->of[of].n; i++) {
			rows->of[of].at[i].labels = at;
			at += strlen(at) + 1;
		}
	return 0;
}

static int metrics_fill_rows(struct service_rows *rows, struct json_object *service)
{
	struct json_object *const from[OF_MAX] = {
	        [OF_ENDPOINTS] = json_read_value(service, "endpoints"),
	        [OF_SIGNALS] = json_read_value(json_read_value(service, "deployment"), "signals"),
	        [OF_VERSIONS] = json_read_value(service, "versions"),
	        [OF_WORKERS] = json_read_value(service, "workers"),
	};
	int r = metrics_make_rows(rows, OF_SERVICE, NULL, 1);

	if (r == 0)
		rows->of[OF_SERVICE].at->values = service;
	for (enum rows_of of = OF_SERVICE + 1; r == 0 && of < OF_MAX; of++)
		r = metrics_make_rows(rows, of, from[of],
		                      from[of] ? json_object_array_length(from[of]) : 0);
	for (size_t i = 0; r == 0 && i < rows->of[OF_WORKERS].n; i++)
		metrics_find_values(&rows->of[OF_WORKERS].at[i]);
	return r < 0 ? r : metrics_label_rows(rows);
}

static void metrics_free_rows(struct service_rows *rows)
{
	for (enum rows_of of = 0; of < OF_MAX; of++)
		free(rows->of[of].at);
	free(rows->labels);
}

/* printf() takes five times as long. */
static void metrics_write_number(FILE *out, int64_t value)
{
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char text[24] = "", *at = text + sizeof(text) - 1;

	*--at = '\n';
	do
		*--at = '0' + left % 10;
	while (left /= 10);
	if (value < 0)
		*--at = '-';
	fputs(at, out);
}

static void metrics_write_value(FILE *out, struct json_object *value, double parts)
{
	if (json_object_is_type(value, json_type_array))
		fprintf(out, "%zu\n", json_object_array_length(value));
	else if (json_object_is_type(value, json_type_string))
		fputs("1\n", out);
	else if (parts > 0)
		fprintf(out, "%.9g\n", json_object_get_double(value) / parts);
	else
		metrics_write_number(out, json_object_get_int64(value));
}

/* Returns the value; 0 without a sample, or if it is no integer. A service with many workers has
 * thousands of samples, and fputs() needs fewer instructions for them than fprintf(). */
static int64_t metrics_write_sample(FILE *out, const struct metric *m, const struct row *row,
                                    struct json_object *value)
{
	if (!value)
		return 0;
	fputs(m->name, out);
	fputs(row->labels, out);
	for (size_t i = 0; i < ARRAY_SIZE(m->labels) && m->labels[i]; i++)
		metrics_write_label(out, ",", m->labels[i],
		                    metrics_member(m, row->values, m->labels[i]));
	if (m->constant)
		fprintf(out, ",%s", m->constant);
	fputs("} ", out);
	metrics_write_value(out, value, m->parts);
	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
}

static void metrics_write_head(FILE *out, const struct metric *m)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
}

static void metrics_write_table(FILE *out, enum rows_of of, const struct metric *metrics, size_t n,
                                const struct service_rows *rows, size_t n_services)
{
	for (const struct metric *m = metrics; m < metrics + n; m++) {
		if (m == metrics || strcmp(m->name, m[-1].name) != 0)
			metrics_write_head(out, m);
		for (size_t s = 0; s < n_services; s++)
			for (size_t i = 0; i < rows[s].of[of].n; i++)
				metrics_write_sample(
				        out, m, &rows[s].of[of].at[i],
				        metrics_value_of(m, rows[s].of[of].at[i].values));
	}
}

/* A service counts more than its workers together: the rest reached no worker. One more sample,
 * with slot="none", makes the sum over the slots equal to the service's total. */
static void metrics_write_worker_metric(FILE *out, size_t i, const struct service_rows *rows,
                                        size_t n)
{
	const struct metric *m = &worker_metrics[i];

	metrics_write_head(out, m);
	for (size_t s = 0; s < n; s++) {
		const struct row *workers = rows[s].of[OF_WORKERS].at;
		struct json_object *total = metrics_value_of(m, metrics_service(&rows[s]));
		int64_t sum = 0;

		for (size_t w = 0; w < rows[s].of[OF_WORKERS].n; w++)
			sum += metrics_write_sample(out, m, &workers[w], workers[w].found[i]);
		if (m->in && total)
			fprintf(out, "%s%s,slot=\"none\"} %" PRId64 "\n", m->name,
			        rows[s].of[OF_SERVICE].at->labels,
			        json_object_get_int64(total) - sum);
	}
}

static void metrics_write_responses(FILE *out, enum response_metric metric,
                                    const struct service_rows *rows, size_t n)
{
	response_metrics_write_head(out, metric);
	for (size_t s = 0; s < n; s++)
		for (size_t w = 0; w < rows[s].of[OF_WORKERS].n; w++)
			response_metrics_write(out, metric, rows[s].of[OF_WORKERS].at[w].labels,
			                       rows[s].of[OF_WORKERS].at[w].values);
}

/* What is 0 or 1 of a service. Each returns -1 if the service has no such sample. */
static int metrics_is_up(struct json_object *service, const struct min_live *min_live)
{
	return !json_read_value(service, "error");
}

static int metrics_is_supervised(struct json_object *service, const struct min_live *min_live)
{
	return json_read_flag(service, "run") ? !!json_read_value(service, "supervisor_pid") : -1;
}

/* A service that can't be read is not ready, as /ready answers (view/ready_view.h). */
static int metrics_is_ready(struct json_object *service, const struct min_live *min_live)
{
	struct json_object *ready = json_read_value(service, "readiness");

	return json_read_flag(ready, "ready") &&
	       json_read_number(ready, "live") >=
	               min_live_count(min_live, (unsigned int)json_read_number(ready, "wanted"));
}

static int metrics_is_draining(struct json_object *service, const struct min_live *min_live)
{
	struct json_object *ready = json_read_value(service, "readiness");

	return ready ? !!json_read_value(ready, "draining_since") : -1;
}

static void metrics_write_flags(FILE *out, const struct service_rows *rows, size_t n,
                                const struct min_live *min_live)
{
	static const struct {
		struct metric metric;
		int (*is_so)(struct json_object *service, const struct min_live *min_live);
	} flags[] = {
	        {{"reuseportd_up", "gauge", "whether the service could be read"}, metrics_is_up},
	        {{"reuseportd_supervisor_up", "gauge",
	          "whether the supervisor of a service of `run` lives"},
	         metrics_is_supervised},
	        {{"reuseportd_ready", "gauge",
	          "whether the service takes new connections, as /ready answers"},
	         metrics_is_ready},
	        {{"reuseportd_draining", "gauge",
	          "whether the host drains (`drain-host`), or the service's supervisor was asked "
	          "to stop (`run --lame-duck`)"},
	         metrics_is_draining},
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		metrics_write_head(out, &flags[i].metric);
		for (size_t s = 0; s < n; s++) {
			const int is_so = flags[i].is_so(metrics_service(&rows[s]), min_live);

			if (is_so >= 0)
				fprintf(out, "%s%s} %d\n", flags[i].metric.name,
				        rows[s].of[OF_SERVICE].at->labels, is_so);
		}
	}
}

static void metrics_write_all(FILE *out, const struct service_rows *rows, size_t n,
                              const struct min_live *min_live)
{
	static const struct {
		const struct metric *metrics;
		size_t n;
	} tables[OF_WORKERS] = {
	        [OF_SERVICE] = {service_metrics, ARRAY_SIZE(service_metrics)},
	        [OF_ENDPOINTS] = {endpoint_metrics, ARRAY_SIZE(endpoint_metrics)},
	        [OF_SIGNALS] = {signal_metrics, ARRAY_SIZE(signal_metrics)},
	        [OF_VERSIONS] = {version_metrics, ARRAY_SIZE(version_metrics)},
	};

	metrics_write_flags(out, rows, n, min_live);
	for (enum rows_of of = 0; of < OF_WORKERS; of++)
		metrics_write_table(out, of, tables[of].metrics, tables[of].n, rows, n);
	for (size_t i = 0; i < ARRAY_SIZE(worker_metrics); i++)
		metrics_write_worker_metric(out, i, rows, n);
	for (enum response_metric i = 0; i < RESPONSE_METRIC_MAX; i++)
		metrics_write_responses(out, i, rows, n);
}

int metrics_print(FILE *out, struct json_object *services, const struct min_live *min_live,
                  struct error *err)
{
	size_t n = json_object_array_length(services);
	_cleanup_free_ struct service_rows *rows = calloc(n + 1, sizeof(*rows));
	int r = rows ? 0 : -ENOMEM;

	for (size_t s = 0; r == 0 && s < n; s++)
		r = metrics_fill_rows(&rows[s], json_object_array_get_idx(services, s));
	if (r == 0)
		metrics_write_all(out, rows, n, min_live);
	for (size_t s = 0; rows && s < n; s++)
		metrics_free_rows(&rows[s]);
	return r < 0 ? error_set(err, r, "out of memory") : 0;
}
