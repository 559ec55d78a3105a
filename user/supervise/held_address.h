/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listeners of workers that the bind hook holds, because their address would take the connections
 * of an endpoint of the service (kern/hook.h). They get no connection.
 */
#pragma once

#include <stdbool.h>

#include "kern/hook.h"
#include "supervise/types.h"

/* Other endpoints are served than before: a later bind() to an address that would take their
 * connections is held. A failure is logged. */
void held_address_update(struct supervisor *sup);

/* The worker has a held listener. If it is still open after a second, then it is no mere try
 * whether the port is free: the worker is checked again if it starts, or else the listener is
 * logged. */
void held_address_note(struct worker *w, const struct hook_listen *listen);

/* For a worker that starts and does not listen where it must. If it has a held listener, this is
 * recorded in w->why, as the reason if the worker is not ready in time. Returns whether that
 * listener has been open for a second: waiting longer is of no use. */
bool held_address_explains(struct worker *w);
