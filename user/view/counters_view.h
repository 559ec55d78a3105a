/* SPDX-License-Identifier: BSD-2-Clause */
/* The counters of include/reuseportd/counters.def, each by its name. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "kern/steer.h"
#include "kern/steer_counters.h"

/* Adds the object `counters`: what the runs of the steering program ended in. */
void counters_view_add(struct json_object *to, const struct counters *counts);

/* Prints a line for the first counter, and for each of the others that is not 0. */
void counters_view_print(FILE *out, struct json_object *counters);
