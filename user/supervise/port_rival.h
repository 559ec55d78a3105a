/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds a process that keeps a worker from its port. */
#pragma once

#include "supervise/types.h"

/* For a worker that ended before it was ready: adds to w->why which process listens where it can't,
 * if a process of another user listens on one of its ports, or its last lines say that an address
 * is in use. Sets w->rival. */
void port_rival_note(struct worker *w);
