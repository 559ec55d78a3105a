/* SPDX-License-Identifier: BSD-2-Clause */
/* Decides when connections are parked (parking.h), handed over or refused. */
#pragma once

#include "supervise/types.h"

/* To be called when a worker has come into a slot or left one. Hands parked connections over if a
 * worker listens; starts the park timeout if no worker does. Takes the service's lock. */
void park_update(struct supervisor *sup);
