/* SPDX-License-Identifier: BSD-2-Clause */
/* A service as `status` shows it. Metrics and the screen of `top` are made from the same view. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "base/error.h"
#include "service/observed.h"
#include "service/service.h"
#include "service/worker_stats.h"
#include "view/worker_view.h"

/* The caller owns *ret (json_object_put()). Returns 0 or a negative errno with @err set. */
int status_view_new(const struct service *service, const struct observed *observed,
                    const struct service_stats *stats, enum worker_view_detail detail,
                    struct json_object **ret, struct error *err);

/* The answer of `status`. */
void status_view_print(FILE *out, struct json_object *view);

/* The answer of a command that changes the schedule, in one line. */
void status_view_print_summary(FILE *out, struct json_object *view);

/* How many workers take new connections. */
size_t status_view_count_taking(struct json_object *view);
