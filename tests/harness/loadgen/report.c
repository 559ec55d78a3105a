/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

static double report_seconds(const struct results *results)
{
	return (double)(results->settled_us - results->start_us) / 1e6;
}

static double report_per_second(const struct results *results)
{
	double ok = (double)results->outcomes[OUTCOME_OK];

	return results->settled_us > results->start_us ? ok / report_seconds(results) : 0;
}

static void report_add_count(json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

/* With @format, as json-c prints 17 digits of a double by default. */
static void report_add_decimal(json_object *object, const char *name, double value,
                               const char *format)
{
	json_object *number = json_object_new_double(value);

	json_object_set_serializer(number, json_object_double_to_json_string, strdup(format),
	                           json_object_free_userdata);
	json_object_object_add(object, name, number);
}

static void report_add_worker(const struct worker *worker, void *object)
{
	report_add_count(object, worker->id, worker->connections);
}

void report_json(const struct results *results)
{
	json_object *root = json_object_new_object(), *latency = json_object_new_object();
	json_object *workers = json_object_new_object();

	report_add_count(root, "begun", results->begun);
	report_add_count(root, "ok", results->outcomes[OUTCOME_OK]);
	report_add_count(root, "failed", results_failed(results));
	for (int i = OUTCOME_OK + 1; i < OUTCOME_MAX; i++)
		report_add_count(root, outcome_name(i), results->outcomes[i]);
	report_add_count(root, "answers", results->answers);
	report_add_decimal(root, "seconds", report_seconds(results), "%.6f");
	report_add_decimal(root, "connections_per_second", report_per_second(results), "%.1f");
	report_add_count(latency, "p50", latency_quantile(&results->latency, 0.50));
	report_add_count(latency, "p99", latency_quantile(&results->latency, 0.99));
	report_add_count(latency, "max", results->latency.max);
	json_object_object_add(root, "latency_us", latency);
	workers_walk(&results->workers, report_add_worker, workers);
	json_object_object_add(root, "workers", workers);
	puts(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN));
	json_object_put(root);
}

static void report_print_count(const char *name, uint64_t value)
{
	printf("%-22s %12" PRIu64 "\n", name, value);
}

static void report_print_worker(const struct worker *worker, void *unused)
{
	printf("worker %-15s %12" PRIu64 "\n", worker->id, worker->connections);
}

void report_text(const struct results *results)
{
	report_print_count("begun", results->begun);
	report_print_count("ok", results->outcomes[OUTCOME_OK]);
	report_print_count("failed", results_failed(results));
	for (int i = OUTCOME_OK + 1; i < OUTCOME_MAX; i++)
		report_print_count(outcome_name(i), results->outcomes[i]);
	report_print_count("answers", results->answers);
	printf("%-22s %12.3f\n", "seconds", report_seconds(results));
	printf("%-22s %12.1f\n", "connections per second", report_per_second(results));
	report_print_count("latency p50, us", latency_quantile(&results->latency, 0.50));
	report_print_count("latency p99, us", latency_quantile(&results->latency, 0.99));
	report_print_count("latency max, us", results->latency.max);
	workers_walk(&results->workers, report_print_worker, NULL);
}
