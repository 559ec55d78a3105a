/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers of a service, as `status` shows them. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "kern/steer.h"
#include "kern/steer_counters.h"
#include "service/observed.h"
#include "service/service.h"
#include "service/worker_stats.h"

/* How much the object of a worker has. A reader does not pay for members that it does not show. */
enum worker_view_detail {
	WORKER_VIEW_TABLE,    /* what the text and `top` show */
	WORKER_VIEW_COUNTERS, /* also what the metrics show */
	WORKER_VIEW_FULL,     /* all, for JSON */
};

/* Adds the array `workers`: an object for each slot that has or had a worker, and for each slot of
 * a service that is run. @counts: a row for each slot. What is unknown is null. */
void worker_view_add(struct json_object *to, const struct service *service,
                     const struct observed *observed, const struct service_stats *stats,
                     const struct counters *counts, enum worker_view_detail detail);

/* Prints the workers of a status view as a table. */
void worker_view_print(FILE *out, struct json_object *status);
