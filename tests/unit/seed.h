/* SPDX-License-Identifier: BSD-2-Clause */
/* Random input for property tests: told at the start, so that a failure can be run again with
 * SEED=N in the environment. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t seed_state;

static inline void seed_start(const char *what)
{
	const char *given = getenv("SEED");

	seed_state = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	printf("%s: SEED=%llu\n", what, (unsigned long long)seed_state);
}

/* 0 to @n - 1 (splitmix64). */
static inline unsigned int seed_next(unsigned int n)
{
	uint64_t z = seed_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % n;
}
