/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of `check`. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/run_config.h"

/* {file, ok, services, problems}, with both lists empty. The caller owns it (json_object_put()). */
struct json_object *check_view_new(const char *file, bool ok);

/* Adds {service, workers, command} to the services. */
void check_view_add_service(struct json_object *view, const struct run_config *config);

/* Adds {line, severity, text} to the problems. @line 0: the problem belongs to no line, and the
 * member is left out. The severity is "warning" or "error". */
void check_view_add_problem(struct json_object *view, unsigned int line, bool warning,
                            const char *text);

/* Prints a line for each service. Problems are not printed. */
void check_view_print(FILE *out, struct json_object *view);
