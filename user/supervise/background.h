/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that go to the background: the main process ends with success, and leaves a process that
 * serves. The supervisor could not tell the end of that process from a crash.
 *
 * A worker that does so when it starts has failed. Later, it serves on until it is replaced, as one
 * that is unhealthy: for example gunicorn after an upgrade of its own (SIGUSR2).
 */
#pragma once

#include <stdbool.h>

#include "supervise/types.h"

/* To be called when the main process has ended. If the program has gone to the background, records
 * that in w->why and returns true: w->in_background if the worker has failed, else w->is_left, and
 * w->pid is a process that is left. */
bool background_note(struct worker *w);
