/* SPDX-License-Identifier: BSD-2-Clause */
/* The Prometheus text format, version 0.0.4, of status views. The names of the metrics are in
 * metrics.c; those of counters come from counters.def. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "base/error.h"
#include "core/min_live.h"

/* @services: an array of status views; a service that can't be read is as
 * list_view_add_unreadable() adds it. @min_live: of reuseportd_ready. Returns 0 or -ENOMEM. */
int metrics_print(FILE *out, struct json_object *services, const struct min_live *min_live,
                  struct error *err);
