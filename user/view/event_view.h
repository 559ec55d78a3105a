/* SPDX-License-Identifier: BSD-2-Clause */
/* One event of the answer of `events`. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include <reuseportd/abi.h>

/* {time, event, slot, pid, count, text, help}; the time is in seconds since the epoch. The caller
 * owns it (json_object_put()). */
struct json_object *event_view_new(const struct rpd_event *event);

/* One line, with the local time. */
void event_view_print(FILE *out, struct json_object *view);

/* A line for each event of an array. */
void event_view_print_all(FILE *out, struct json_object *events);
