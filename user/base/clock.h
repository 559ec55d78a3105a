/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks as plain numbers. */
#pragma once

#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000ll

/* Reads CLOCK_MONOTONIC, CLOCK_REALTIME, ... in nanoseconds. CLOCK_MONOTONIC is the clock of
 * bpf_ktime_get_ns() in the BPF programs. */
static inline int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* The same in seconds. */
static inline double clock_s(clockid_t clock)
{
	return (double)clock_ns(clock) / NS_PER_S;
}
