/* SPDX-License-Identifier: BSD-2-Clause */
/* The foreign listeners of a service: members of its groups that are in no slot. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "service/observed.h"
#include "service/service.h"

/* Adds the array `foreign_listeners`: {endpoint, pid, fd, command, former, alone}. Without a known
 * process the row lacks pid, fd and command. */
void foreign_view_add(struct json_object *to, const struct service *service,
                      const struct observed *observed);

/* Prints them as a table, then notes on which connections they get; nothing if there are none. */
void foreign_view_print(FILE *out, struct json_object *foreign);
