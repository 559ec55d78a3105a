/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks, in milliseconds. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline int64_t clock_read_ms(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The clock of the lanes' deadlines. */
static inline int64_t clock_now_ms(void)
{
	return clock_read_ms(CLOCK_MONOTONIC);
}

/* Processor time that this thread has used. */
static inline int64_t clock_used_ms(void)
{
	return clock_read_ms(CLOCK_THREAD_CPUTIME_ID);
}
