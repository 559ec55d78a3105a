/* SPDX-License-Identifier: BSD-2-Clause */
/* The former workers of a service of `run`, which are out of their slots and still live. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "base/error.h"
#include "service/service.h"

/* Adds "former_workers" to the answer. Returns 0, or a negative errno with @err set. */
int former_view_add(struct json_object *to, const struct service *service, struct error *err);

/* Prints them as a table, if there are any. @status: the whole answer. */
void former_view_print(FILE *out, struct json_object *status);
