/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds a worker of the same service that keeps a worker from its Unix socket or UDP port. */
#pragma once

#include "supervise/types.h"

/* For a worker that has failed before it was ready, and has printed that an address is in use
 * (@printed: its last lines): adds to w->why which socket this is, which worker has it, and what to
 * do.
 */
void socket_rival_note(struct worker *w, const char *printed);
