/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Prometheus text format, version 0.0.4, of what `status` shows. Each metric is a row of a
 * table that says where in the status view its value is; a value that is not there, or is null as
 * nobody knows it, gives no sample.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "view/view.h"

struct metric {
	const char *name, *type, *help;
	const char *in;  /* the member that has it; NULL: the row itself */
	const char *key; /* a number, a flag, an array (its length) or a text (then it is 1) */
	const char *labels[2]; /* members of the row that are labels of this metric only */
	double parts;          /* the view has it in so many parts of the base unit; 0 = in that */
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
         "largest relative error of a share that fitting the ring made", .in = "ring",
         .key = "rounding_error_ppm", .parts = 1e6},
        {"reuseportd_canary_share_ratio", "gauge",
         "share of new connections that the canary workers have together", .key = "canary_percent",
         .parts = 100},
        {"reuseportd_connections_parked", "gauge",
         "connections that wait for a worker, as none lives", .key = "parked"},
        {"reuseportd_counting", "gauge", "whether connections are counted", .key = "counting"},
        {"reuseportd_connections_unattributed", "gauge",
         "open connections from before they were counted, of an unknown worker",
         .key = "unattributed_active"},
};

static const struct metric worker_metrics[] = {
        {"reuseportd_worker_info", "gauge", "always 1: the process in the slot", .key = "command",
         .labels = {"pid", "command"}},
        {"reuseportd_worker_state", "gauge", "always 1: the slot's state", .key = "state",
         .labels = {"state"}},
        {"reuseportd_worker_start_time_seconds", "gauge",
         "when the worker's process was started, since the epoch", .key = "started_at"},
        {"reuseportd_worker_weight", "gauge", "the worker's weight", .key = "weight"},
        {"reuseportd_worker_share_ratio", "gauge", "the worker's share of new connections",
         .key = "share_percent", .parts = 100},
        {"reuseportd_connections_active", "gauge", "open connections, accepted or not",
         .key = "active"},
        {"reuseportd_connections_former_active", "gauge",
         "open connections of workers that were in the slot before", .key = "former_active"},
        {"reuseportd_connections_queued", "gauge", "connections that wait to be accepted",
         .key = "queued"},
        {"reuseportd_accept_queue_limit", "gauge", "connections that may wait to be accepted",
         .key = "backlog"},
        {"reuseportd_worker_restarts_total", "counter",
         "how often the supervisor has replaced a worker of the slot that ended",
         .key = "restarts"},
        {"reuseportd_handshakes", "gauge", "handshakes under way", .key = "handshakes"},
#define RPD_COUNTER(name, help)                                                                    \
	{"reuseportd_" #name "_total", "counter", help, .in = "counters", .key = #name},
#define RPD_CONN_COUNTER(name, help)                                                               \
	{"reuseportd_connections_" #name "_total", "counter", help, .in = "connections",           \
	 .key = #name},
#include <reuseportd/counters.def>
};

/* A service or one of its workers. */
struct row {
	struct json_object *values; /* the view's */
	char *labels;               /* as they are written: service="...",slot="..." */
};

struct service_rows {
	struct row self;
	struct row *workers;
	size_t n_workers;
};

static size_t metrics_length_of(struct json_object *array)
{
	return array ? json_object_array_length(array) : 0;
}

/* The label @name, if there is a value. @before: what comes before it. */
static void metrics_write_label(FILE *out, const char *before, const char *name,
                                struct json_object *value)
{
	if (!value)
		return;
	fputs(before, out);
	fputs(name, out);
	fputs("=\"", out);
	for (const char *c = json_object_get_string(value); *c; c++) {
		if (*c == '"' || *c == '\\' || *c == '\n')
			fputc('\\', out);
		fputc(*c == '\n' ? 'n' : *c, out);
	}
	fputc('"', out);
}

static int metrics_fill_row(struct row *row, struct json_object *service,
                            struct json_object *values)
{
	size_t size;
	FILE *out = open_memstream(&row->labels, &size);

	if (!out)
		return -ENOMEM;
	metrics_write_label(out, "", "service", json_object_object_get(service, "service"));
	metrics_write_label(out, ",", "slot", json_object_object_get(values, "slot"));
	metrics_write_label(out, ",", "version", json_object_object_get(values, "version"));
	row->values = values;
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

static int metrics_fill_rows(struct service_rows *rows, struct json_object *service)
{
	struct json_object *workers = json_object_object_get(service, "workers");
	size_t n = metrics_length_of(workers);
	int r = metrics_fill_row(&rows->self, service, service);

	rows->workers = calloc(n + 1, sizeof(*rows->workers));
	if (!rows->workers)
		return -ENOMEM;
	for (; r == 0 && rows->n_workers < n; rows->n_workers++)
		r = metrics_fill_row(&rows->workers[rows->n_workers], service,
		                     json_object_array_get_idx(workers, rows->n_workers));
	return r;
}

static void metrics_free_rows(struct service_rows *rows)
{
	for (size_t i = 0; i < rows->n_workers; i++)
		free(rows->workers[i].labels);
	free(rows->workers);
	free(rows->self.labels);
}

static struct json_object *metrics_value_of(const struct metric *m, const struct row *row)
{
	struct json_object *in = m->in ? json_object_object_get(row->values, m->in) : row->values;

	return json_object_object_get(in, m->key);
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
		fprintf(out, "%" PRId64 "\n", json_object_get_int64(value));
}

/* Returns the value, 0 if there is none or it is no integer. Thousands of them are written for a
 * service of many workers, which fputs() does in fewer instructions than fprintf(). */
static int64_t metrics_write_sample(FILE *out, const struct metric *m, const struct row *row)
{
	struct json_object *value = metrics_value_of(m, row);

	if (!value)
		return 0;
	fputs(m->name, out);
	fputc('{', out);
	fputs(row->labels, out);
	for (size_t i = 0; i < ARRAY_SIZE(m->labels) && m->labels[i]; i++)
		metrics_write_label(out, ",", m->labels[i],
		                    json_object_object_get(row->values, m->labels[i]));
	fputs("} ", out);
	metrics_write_value(out, value, m->parts);
	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
}

static void metrics_write_head(FILE *out, const struct metric *m)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
}

static void metrics_write_service_metric(FILE *out, const struct metric *m,
                                         const struct service_rows *rows, size_t n)
{
	metrics_write_head(out, m);
	for (size_t s = 0; s < n; s++)
		metrics_write_sample(out, m, &rows[s].self);
}

/* What a service has counted beyond its workers reached none of them: with that as one sample more
 * the sum over the slots is the service's total. */
static void metrics_write_worker_metric(FILE *out, const struct metric *m,
                                        const struct service_rows *rows, size_t n)
{
	metrics_write_head(out, m);
	for (size_t s = 0; s < n; s++) {
		struct json_object *total = metrics_value_of(m, &rows[s].self);
		int64_t sum = 0;

		for (size_t w = 0; w < rows[s].n_workers; w++)
			sum += metrics_write_sample(out, m, &rows[s].workers[w]);
		if (m->in && total)
			fprintf(out, "%s{%s,slot=\"none\"} %" PRId64 "\n", m->name,
			        rows[s].self.labels, json_object_get_int64(total) - sum);
	}
}

static void metrics_write_up(FILE *out, const struct service_rows *rows, size_t n)
{
	static const struct metric up = {"reuseportd_up", "gauge",
	                                 "whether the service could be read"};

	metrics_write_head(out, &up);
	for (size_t s = 0; s < n; s++)
		fprintf(out, "%s{%s} %d\n", up.name, rows[s].self.labels,
		        !json_object_object_get(rows[s].self.values, "error"));
}

static void metrics_write_all(FILE *out, const struct service_rows *rows, size_t n)
{
	metrics_write_up(out, rows, n);
	for (size_t i = 0; i < ARRAY_SIZE(service_metrics); i++)
		metrics_write_service_metric(out, &service_metrics[i], rows, n);
	for (size_t i = 0; i < ARRAY_SIZE(worker_metrics); i++)
		metrics_write_worker_metric(out, &worker_metrics[i], rows, n);
}

int view_metrics_text(FILE *out, struct json_object *services, struct error *err)
{
	size_t n = metrics_length_of(services);
	_cleanup_free_ struct service_rows *rows = calloc(n + 1, sizeof(*rows));
	int r = rows ? 0 : -ENOMEM;

	for (size_t s = 0; r == 0 && s < n; s++)
		r = metrics_fill_rows(&rows[s], json_object_array_get_idx(services, s));
	if (r == 0)
		metrics_write_all(out, rows, n);
	for (size_t s = 0; rows && s < n; s++)
		metrics_free_rows(&rows[s]);
	return r < 0 ? error_set(err, r, "out of memory") : 0;
}
