/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/start_limit.h"

/* More would only slow each other down. */
#define STARTS_PER_CPU 2
#define STARTS_MIN     4

void start_limit_init(struct start_limit *limit, unsigned int cpus)
{
	const unsigned int most = cpus * STARTS_PER_CPU;

	*limit = (struct start_limit){.most = most > STARTS_MIN ? most : STARTS_MIN};
	limit->now = limit->most;
}

bool start_limit_note_late(struct start_limit *limit, int64_t started_at, int64_t at)
{
	limit->ready = 0;
	if (limit->now == 1 || started_at < limit->set_at)
		return false;
	limit->now /= 2;
	limit->set_at = at;
	return true;
}

void start_limit_note_ready(struct start_limit *limit)
{
	limit->ready++;
	if (limit->now == limit->most || limit->ready < limit->now)
		return;
	limit->now++;
	limit->ready = 0;
}
