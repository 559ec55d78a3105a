/* SPDX-License-Identifier: BSD-2-Clause */
/* The answers of `drain-host` and `resume-host`. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "service/host_drain.h"

/* {draining_since, changed, empty, seconds, services}; a service has {service, empty, left, closed,
 * remaining} as drain_view_new() has them. @changed: the command has set the mark. The caller owns
 * it (json_object_put()). */
struct json_object *host_drain_view_new(int64_t since, bool changed,
                                        const struct host_drain *drain);

void host_drain_view_print(FILE *out, struct json_object *view);

/* {draining_since, changed}: draining_since is null. The caller owns it (json_object_put()). */
struct json_object *host_drain_view_new_resumed(bool changed);

void host_drain_view_print_resumed(FILE *out, struct json_object *view);
