/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes over what an earlier supervisor of the service, which was killed, has left. */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

/* Workers that are in slots stay there; all others are drained and stopped. */
int takeover(struct supervisor *sup, struct error *err);
