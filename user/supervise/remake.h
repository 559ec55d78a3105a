/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notices when the run directory of a service, the sockets in it, or its pins were deleted by hand
 * while the service is supervised, and makes them again.
 */
#pragma once

#include "supervise/types.h"

/* Begins to watch, after all of it has been made. Returns 0, or a negative errno with @err set. */
int remake_new(struct supervisor *sup, struct remake **ret, struct error *err);

/* Before the supervisor itself removes anything. NULL is allowed. */
void remake_free(struct remake *remake);
