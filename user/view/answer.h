/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of a command on stdout: a view as JSON or as text. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints @view and releases it (json_object_put()). @print writes the text; the view that it gets
 * is escaped for a terminal. */
void answer_print(struct json_object *view, bool json, void (*print)(FILE *, struct json_object *));
