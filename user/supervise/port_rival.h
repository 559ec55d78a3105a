/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds a process of another user that keeps a worker from its port. */
#pragma once

#include "supervise/types.h"

/* For a worker that ended before it was ready: adds to w->why if a process of another user listens
 * on one of the worker's ports. */
void port_rival_note(struct worker *w);
