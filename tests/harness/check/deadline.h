/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a test waits. RPD_SLOW in the environment is a factor for slow machines: 10 for an
 * emulated one (vmtest), for example; everything that a test waits for gets that much more time. */
#pragma once

#include <stdint.h>

#define DEADLINE_S (30 * deadline_factor())

/* At least 1. */
int deadline_factor(void);

/* Milliseconds of the monotonic clock: now, and DEADLINE_S from now. */
int64_t deadline_clock_ms(void);
int64_t deadline_ms(void);

/* Sleeps for a moment between two polls. */
void deadline_pause(void);
