/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether the HTTP responses of the workers are counted. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "supervise/types.h"

/* Begins to count or stops counting, unless that is so already. Returns 0, or a negative errno with
 * @err set. */
int response_counting_set(struct supervisor *sup, bool wanted, struct error *err);
