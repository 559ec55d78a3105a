/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/response_view.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "view/table.h"

static void response_view_add_quantile(struct json_object *to, const char *key,
                                       const struct response_count *count, unsigned int permille)
{
	if (response_count_timed(count))
		json_build_real(to, key, (double)response_count_quantile(count, permille) / 1e6);
	else
		json_build_value(to, key, NULL);
}

static void response_view_add_steps(struct json_object *to, const struct response_count *count)
{
	struct json_object *steps = json_build_array(to, "histogram");

	for (unsigned int i = 0; i < RESPONSE_STEPS; i++) {
		struct json_object *row = json_build_row(steps);

		json_build_real(row, "below_seconds",
		                (double)response_count_bound_ns(i) / NS_PER_S);
		json_build_number(row, "count", (int64_t)response_count_below(count, i));
	}
}

static void response_view_add_count(struct json_object *to, const struct response_count *count,
                                    bool full)
{
	struct json_object *responses = json_build_object(to, "responses"), *times;

	for (unsigned int i = 0; i < RESPONSE_CLASS_MAX; i++)
		json_build_number(responses, response_count_class(i), (int64_t)count->of[i]);
	times = json_build_object(to, "time_to_first_byte");
	json_build_number(times, "count", (int64_t)response_count_timed(count));
	json_build_real(times, "sum_seconds", (double)count->time_ns / NS_PER_S);
	response_view_add_quantile(times, "p50_ms", count, 500);
	response_view_add_quantile(times, "p90_ms", count, 900);
	response_view_add_quantile(times, "p99_ms", count, 990);
	if (full)
		response_view_add_steps(times, count);
}

void response_view_add(struct json_object *to, const struct worker_responses *it, bool full)
{
	if (!it) {
		json_build_value(to, "requests_per_second", NULL);
		json_build_value(to, "responses", NULL);
		json_build_value(to, "time_to_first_byte", NULL);
		return;
	}
	json_build_real(to, "requests_per_second", it->rate);
	response_view_add_count(to, &it->count, full);
}

void response_view_add_version(struct json_object *to, const struct response_count *count,
                               bool full)
{
	if (!count) {
		json_build_value(to, "responses", NULL);
		json_build_value(to, "unanswered", NULL);
		json_build_value(to, "time_to_first_byte", NULL);
		return;
	}
	response_view_add_count(to, count, full);
	json_build_number(to, "unanswered", (int64_t)count->unanswered);
}

/* Makes a row of the table from a worker or a version. */
static void response_view_add_row(struct json_object *rows, struct json_object *of)
{
	static const char *const quantiles[] = {"p50_ms", "p90_ms", "p99_ms"};
	struct json_object *responses = json_read_value(of, "responses");
	struct json_object *times = json_read_value(of, "time_to_first_byte");
	struct json_object *row;

	if (!responses)
		return;
	row = json_build_row(rows);
	json_build_text(row, "version", json_read_text(of, "version"));
	if (json_read_value(of, "slot"))
		json_build_number(row, "slot", json_read_number(of, "slot"));
	if (json_read_value(of, "requests_per_second"))
		json_build_real(row, "rate", json_read_real(of, "requests_per_second"));
	for (unsigned int i = 0; i < RESPONSE_CLASS_MAX; i++)
		json_build_number(row, response_count_class(i),
		                  json_read_number(responses, response_count_class(i)));
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++)
		if (json_read_value(times, quantiles[i]))
			json_build_real(row, quantiles[i], json_read_real(times, quantiles[i]));
}

#define COUNT_COLUMNS                                                                              \
	{.title = "2XX", .key = "2xx"}, {.title = "3XX", .key = "3xx"},                            \
	        {.title = "4XX", .key = "4xx"}, {.title = "5XX", .key = "5xx"},                    \
	        {.title = "UNKNOWN", .key = "unknown"}, {.title = "P50/MS", .key = "p50_ms"},      \
	{                                                                                          \
		.title = "P99/MS", .key = "p99_ms"                                                 \
	}

/* A row for each worker or version with counted responses. */
static struct json_object *response_view_list(struct json_object *of)
{
	struct json_object *rows = json_build_new_array();

	for (size_t i = 0; i < json_object_array_length(of); i++)
		response_view_add_row(rows, json_object_array_get_idx(of, i));
	return rows;
}

void response_view_print(FILE *out, struct json_object *status)
{
	static const struct table_column of_workers[] = {
	        {.title = "SLOT", .key = "slot"},
	        {.title = "VERSION", .key = "version"},
	        {.title = "REQ/S", .key = "rate"},
	        COUNT_COLUMNS,
	};
	static const struct table_column of_versions[] = {
	        {.title = "VERSION", .key = "version"},
	        COUNT_COLUMNS,
	};
	struct json_object *workers = response_view_list(json_read_value(status, "workers"));
	struct json_object *versions = response_view_list(json_read_value(status, "versions"));

	if (json_object_array_length(versions) > 0) {
		fputs("\nHTTP responses\n", out);
		table_print(out, workers, of_workers, ARRAY_SIZE(of_workers));
	}
	if (json_object_array_length(versions) > 1) {
		fputc('\n', out);
		table_print(out, versions, of_versions, ARRAY_SIZE(of_versions));
	}
	json_object_put(workers);
	json_object_put(versions);
}
