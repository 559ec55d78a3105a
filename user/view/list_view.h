/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of `list`. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "service/observed.h"
#include "service/service.h"

/* An array without a row. The caller owns it (json_object_put()). */
struct json_object *list_view_new(void);

/* Adds {service, endpoint, endpoints, policy, workers, live, in_ring, run}; `endpoint` is the first
 * of `endpoints` endpoints, or null. */
void list_view_add(struct json_object *view, const struct service *service,
                   const struct observed *observed);

/* Adds {service, error} for a service that can't be read. */
void list_view_add_unreadable(struct json_object *view, const char *service, const char *why);

/* A table, then a line for each service that can't be read. */
void list_view_print(FILE *out, struct json_object *view);
