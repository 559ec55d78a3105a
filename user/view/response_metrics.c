/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/response_metrics.h"

#include <inttypes.h>

#include "base/json_read.h"

static const struct {
	const char *name, *type, *help;
} metrics[RESPONSE_METRIC_MAX] = {
        [RESPONSE_METRIC_TOTAL] = {"reuseportd_http_responses_total", "counter",
                                   "HTTP/1 responses by class of status; unknown: the status is "
                                   "not known, because of TLS, HTTP/2 or pipelining"},
        [RESPONSE_METRIC_TIME] = {"reuseportd_http_time_to_first_byte_seconds", "histogram",
                                  "time from the last packet of a request to the first packet of "
                                  "its response"},
};

void response_metrics_write_head(FILE *out, enum response_metric metric)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metrics[metric].name, metrics[metric].help,
	        metrics[metric].name, metrics[metric].type);
}

static void response_metrics_write_total(FILE *out, const char *labels, struct json_object *of)
{
	json_object_object_foreach(of, code, value)
	{
		fprintf(out, "%s%s,code=\"%s\"} %" PRId64 "\n", metrics[RESPONSE_METRIC_TOTAL].name,
		        labels, code, json_object_get_int64(value));
	}
}

static void response_metrics_write_time(FILE *out, const char *labels, struct json_object *times)
{
	const char *name = metrics[RESPONSE_METRIC_TIME].name;
	struct json_object *steps = json_read_value(times, "histogram");
	const int64_t count = json_read_number(times, "count");

	for (size_t i = 0; steps && i < json_object_array_length(steps); i++) {
		struct json_object *step = json_object_array_get_idx(steps, i);

		fprintf(out, "%s_bucket%s,le=\"%.9g\"} %" PRId64 "\n", name, labels,
		        json_read_real(step, "below_seconds"), json_read_number(step, "count"));
	}
	fprintf(out, "%s_bucket%s,le=\"+Inf\"} %" PRId64 "\n", name, labels, count);
	fprintf(out, "%s_sum%s} %.9g\n", name, labels, json_read_real(times, "sum_seconds"));
	fprintf(out, "%s_count%s} %" PRId64 "\n", name, labels, count);
}

void response_metrics_write(FILE *out, enum response_metric metric, const char *labels,
                            struct json_object *worker)
{
	struct json_object *of = json_read_value(worker, "responses");

	if (!of)
		return;
	if (metric == RESPONSE_METRIC_TOTAL)
		response_metrics_write_total(out, labels, of);
	else
		response_metrics_write_time(out, labels,
		                            json_read_value(worker, "time_to_first_byte"));
}
