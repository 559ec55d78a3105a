/* SPDX-License-Identifier: BSD-2-Clause */
/* When a worker that ended is started again: at once the first time, then after a pause that is
 * doubled from crash to crash, and not any more when it has crashed too often in a row. Pure. */
#pragma once

#include <stdint.h>

#include "core/run_config.h"

#define RESTART_BACKOFF_NEVER (-1)

/*
 * A worker of a slot has ended after @uptime ns (0: it was never ready). @crashes counts the
 * slot's crashes in a row, and is updated. Returns the pause in ns, or RESTART_BACKOFF_NEVER.
 */
int64_t restart_backoff_pause(const struct run_config *config, int64_t uptime,
                              unsigned int *crashes);
