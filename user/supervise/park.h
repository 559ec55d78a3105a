/* SPDX-License-Identifier: BSD-2-Clause */
/* Decides when connections are parked (parking.h), handed over or refused, and which endpoints the
 * service has (endpoints.h). */
#pragma once

#include "supervise/types.h"

/* To be called when a worker has come into a slot or left one, or listens elsewhere. Hands parked
 * connections over where a worker listens; starts the park timeout where no worker does. Takes the
 * service's lock. */
void park_update(struct supervisor *sup);

/* To be called when a reload has ended: removes the endpoints where only workers have listened that
 * are ending now. */
void park_end_reload(struct supervisor *sup, bool succeeded);
