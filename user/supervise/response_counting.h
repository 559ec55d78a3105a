/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether the HTTP responses of the workers are counted, and which clients are left out. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/deploy_settings.h"
#include "supervise/types.h"

/* Begins to count or stops counting, unless that is so already. From now on, connections of
 * @settings->ignore are left out, and are counted as ignored. Returns 0, or a negative errno with
 * @err set. */
int response_counting_set(struct supervisor *sup, bool wanted,
                          const struct deploy_settings *settings, struct error *err);
