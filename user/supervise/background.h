/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that go to the background: the main process ends with success, and leaves a process
 * that serves. The supervisor can't tell its end from a crash, and would start it again and again.
 */
#pragma once

#include <stdbool.h>

#include "supervise/types.h"

/* To be called when the main process has ended. If the program has gone to the background, records
 * that in w->why and w->in_background, and returns true. */
bool background_note(struct worker *w);
