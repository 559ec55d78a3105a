/* SPDX-License-Identifier: BSD-2-Clause */
/* The metrics of HTTP responses: a counter by class, and a histogram of the time to first byte. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

/* The metrics, in the order in which they are written. */
enum response_metric {
	RESPONSE_METRIC_TOTAL,
	RESPONSE_METRIC_TIME,
	RESPONSE_METRIC_MAX,
};

/* Writes the lines before the samples of a metric. */
void response_metrics_write_head(FILE *out, enum response_metric metric);

/* Writes the samples of one worker of a status view; none if its responses are not counted.
 * @labels: those of all its samples, without the closing brace. */
void response_metrics_write(FILE *out, enum response_metric metric, const char *labels,
                            struct json_object *worker);
