/* SPDX-License-Identifier: BSD-2-Clause */
/* When a worker that ended is started again: at once after the first crash, then after a pause that
 * doubles from crash to crash, and never after too many crashes in a row. With backoff_of_pm2, each
 * end has a pause, also the first one, and it grows by half. Pure. */
#pragma once

#include <stdint.h>

#include "core/run_config.h"

#define RESTART_BACKOFF_NEVER (-1)

/*
 * Computes the pause after a worker has ended, in nanoseconds, or RESTART_BACKOFF_NEVER. @uptime:
 * how long it was ready or, with alive_after, lived, in nanoseconds (0 = never). Updates *crashes,
 * the slot's crashes in a row.
 */
int64_t restart_backoff_pause(const struct run_config *config, int64_t uptime,
                              unsigned int *crashes);
