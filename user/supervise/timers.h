/* SPDX-License-Identifier: BSD-2-Clause */
/* What a supervisor does at certain times: checks of draining workers and of memory, and
 * cron-restart. */
#pragma once

#include "supervise/types.h"

/* Starts or stops the timers; to be called when something has changed. */
void timers_update(struct supervisor *sup);
