/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes over the workers and slots that an earlier supervisor of the service, which was killed, has
 * left. */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

/* Workers that are in slots stay there; all others are drained and stopped. Returns 0, or a
 * negative errno with @err set. */
int takeover(struct supervisor *sup, struct error *err);
