/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints any view as JSON. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

/* One member a line, for people and programs. */
void json_print_pretty(FILE *out, struct json_object *view);

/* All of it in one line, for a stream of objects. */
void json_print_line(FILE *out, struct json_object *view);
