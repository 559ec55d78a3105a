/* SPDX-License-Identifier: BSD-2-Clause */
/* Stops a service. */
#pragma once

#include "supervise/types.h"

/* Has shutdown_begin() called in the service's next turn, before all other events. */
void shutdown_ask(struct supervisor *sup);

/* Stops all workers. When they have gone, the supervisor removes the service. The second call kills
 * the workers that are left. */
void shutdown_begin(struct supervisor *sup);
