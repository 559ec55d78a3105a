/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stops a service. A signal begins the first of these steps that has not begun, and the end of each
 * one begins the next:
 *
 *   lame duck   all goes on, and /ready answers 503 (service/drain_mark.h), for --lame-duck
 *   drain       workers are still in their slots; each one that has no connection left is stopped,
 *               or is at the end of --drain-timeout
 *   stop        all workers get the stop signal
 *   kill        SIGKILL
 *
 * Without --lame-duck, and for the command `stop`, it begins with stop.
 */
#pragma once

#include "supervise/types.h"

/* Begins the lame duck, or has shutdown_advance() called in the service's next turn, before all
 * other events. */
void shutdown_ask(struct supervisor *sup);

/* Begins the next step after the lame duck. */
void shutdown_advance(struct supervisor *sup);

/* Stops all workers. When they have gone, the supervisor removes the service. The second call kills
 * the workers that are left. */
void shutdown_begin(struct supervisor *sup);
