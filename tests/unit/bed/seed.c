/* SPDX-License-Identifier: BSD-2-Clause */
#include "bed/seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t state;

void seed_start(const char *what)
{
	const char *given = getenv("RPD_SEED");

	state = given ? strtoull(given, NULL, 0) : getenv("RPD_FULL") ? (uint64_t)time(NULL) : 1;
	printf("%s: RPD_SEED=%llu\n", what, (unsigned long long)state);
}

/* splitmix64 */
static uint64_t seed_step(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned int seed_next(unsigned int n)
{
	return (unsigned int)(seed_step() % n);
}

unsigned int seed_between(unsigned int low, unsigned int high)
{
	return low + seed_next(high - low + 1);
}

uint32_t seed_word(void)
{
	return (uint32_t)(seed_step() >> 32);
}
