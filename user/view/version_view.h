/* SPDX-License-Identifier: BSD-2-Clause */
/* The versions of a service, as `status` shows them. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "service/service.h"
#include "service/worker_stats.h"

/* Adds the array `versions` to a view that has `workers`: {version, workers, share_percent,
 * connections, responses, unanswered, time_to_first_byte}. `connections` is {opened,
 * reset_by_worker} since the version's first worker got a slot, null if they are not counted.
 * Versions that no worker has any more are in it while their responses are known; a `version` of
 * null is for the responses of unknown workers. */
void version_view_add(struct json_object *to, const struct service *service,
                      const struct service_stats *stats, bool full);
