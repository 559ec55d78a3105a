/* SPDX-License-Identifier: BSD-2-Clause */
/* Stops a service. */
#pragma once

#include "supervise/types.h"

/* Stops all workers. When they have gone, the supervisor removes the service. The second call kills
 * the workers that are left. */
void shutdown_begin(struct supervisor *sup);
