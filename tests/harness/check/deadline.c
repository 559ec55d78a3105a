/* SPDX-License-Identifier: BSD-2-Clause */
#include "check/deadline.h"

#include <stdlib.h>
#include <time.h>

#define PAUSE_NS 200000

int deadline_factor(void)
{
	const char *text = getenv("RPD_SLOW");
	const int factor = text ? atoi(text) : 1;

	return factor > 1 ? factor : 1;
}

int64_t deadline_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t deadline_ms(void)
{
	return deadline_clock_ms() + DEADLINE_S * 1000;
}

void deadline_pause(void)
{
	nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}
