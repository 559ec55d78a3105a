/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of `connections`. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "service/connections.h"

/* An array of {slot, former, peer, state, accepted, age_seconds, idle_seconds, bytes_in,
 * bytes_out}, one for each connection. The slot and the age are null if they are unknown. The
 * caller owns it (json_object_put()). */
struct json_object *connections_view_new(const struct connections *connections);

void connections_view_print(FILE *out, struct json_object *view);
