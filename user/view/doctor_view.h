/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of `doctor`. */
#pragma once

#include <json-c/json.h>

#include "core/doctor_checks.h"
#include <stdio.h>

/* An array of {check, verdict, detail, advice}; a check without advice lacks that member. The
 * caller owns it (json_object_put()). */
struct json_object *doctor_view_new(const struct doctor_checks *checks);

void doctor_view_print(FILE *out, struct json_object *view);
