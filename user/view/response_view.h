/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTP responses of workers and versions, as `status` shows them. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "service/worker_stats.h"

/* Adds the members of one worker: `requests_per_second`, `responses`, `time_to_first_byte`. @it:
 * NULL = not counted, then they are null. @full: with the histogram. */
void response_view_add(struct json_object *to, const struct worker_responses *it, bool full);

/* Adds those of a version: no rate, but `unanswered`. @count: NULL = not counted. */
void response_view_add_version(struct json_object *to, const struct response_count *count,
                               bool full);

/* Prints the responses of a status view, if they are counted: a table of the workers, and one of
 * the versions if there are several. */
void response_view_print(FILE *out, struct json_object *status);
