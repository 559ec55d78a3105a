/* SPDX-License-Identifier: BSD-2-Clause */
/* The former workers of a service: workers that have left their slots and still run. `status` shows
 * them, and --max-former bounds their number. */
#pragma once

#include "supervise/types.h"

/* Records the worker's state for `status`: after each change of it, and when it has ended. */
void former_note(struct worker *w);

/* Remembers what an earlier supervisor has recorded of a worker that is taken over, and is in no
 * slot. */
void former_recall(struct worker *w);

/* Drops the rows of workers that have ended while there was no supervisor. */
void former_drop_ended(struct supervisor *sup);

/* Stops the oldest workers of each slot that has more than --max-former of them. */
void former_limit(struct supervisor *sup);
