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

/* Adds the array `workers`: an object for each slot that has or had a worker, and for each slot of
 * a service that is run. @counts: a row for each slot. What is unknown is null. */
void worker_view_add(struct json_object *to, const struct service *service,
                     const struct observed *observed, const struct service_stats *stats,
                     const struct counters *counts);

/* Prints the workers of a status view as a table. */
void worker_view_print(FILE *out, struct json_object *status);
