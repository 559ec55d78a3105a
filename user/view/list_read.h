/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens services, and adds what `list` and `metrics` show of them to a view. */
#pragma once

#include <json-c/json.h>

#include "base/error.h"

/* Adds the row of `list` (view/list_view.h), also of a service that can't be read; none if the
 * service does not exist. A function for service_each(): @view is a view of list_view_new(). */
void list_read_add(const char *name, void *view);

/* The same for metrics_print(): adds the status. */
void list_read_add_status(const char *name, void *view);

/* Adds the status for metrics_print(). Returns what service_try_open() does. */
int list_read_status(const char *name, struct json_object *view, struct error *err);
