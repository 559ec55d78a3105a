/* SPDX-License-Identifier: BSD-2-Clause */
/* The metrics of a service that are 1 or 0: yes or no. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "core/min_live.h"

/* The metrics, in the order in which they are written. */
enum flag_metric {
	FLAG_METRIC_UP,
	FLAG_METRIC_SUPERVISOR_UP,
	FLAG_METRIC_READY,
	FLAG_METRIC_DRAINING,
	FLAG_METRIC_MAX,
};

/* Writes the lines before the samples of a metric. */
void flag_metrics_write_head(FILE *out, enum flag_metric metric);

/* Writes the sample of a service; none if the service has no such metric. @labels: without the
 * closing brace. @service: a status view, or what list_view_add_unreadable() adds. @min_live: of
 * FLAG_METRIC_READY. */
void flag_metrics_write(FILE *out, enum flag_metric metric, const char *labels,
                        struct json_object *service, const struct min_live *min_live);
