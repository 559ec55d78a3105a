/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of `drain --wait`. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "core/slots.h"
#include "service/drain_wait.h"

/* {service, slots, empty, seconds, closed, left, remaining}: `left` counts what is left of the
 * slots' connections, `remaining` lists them as connections_view_new() does, and `closed` of them
 * were reset. The caller owns it (json_object_put()). */
struct json_object *drain_view_new(const char *service, const struct slots *slots,
                                   const struct drain_wait_result *result);

void drain_view_print(FILE *out, struct json_object *view);
