/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of `events`. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "kern/steer.h"
#include <reuseportd/abi.h>

/* {seq, time, event, slot, pid, count, text, help}; the time is in seconds since the epoch. The
 * caller owns it (json_object_put()). */
struct json_object *event_view_new(const struct rpd_event *event);

/* All events that are kept, in order. The caller owns the array. */
struct json_object *event_view_read(const struct steer *steer);

/* The first @max of these with a larger seq than @after; if that is negative, the last @max. The
 * caller owns the array. */
struct json_object *event_view_after(struct json_object *events, int64_t after, size_t max);

/* One line, with the local time. */
void event_view_print(FILE *out, struct json_object *view);

/* A line for each event of an array. */
void event_view_print_all(FILE *out, struct json_object *events);
