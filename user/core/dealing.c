/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/dealing.h"

static uint32_t dealing_count_ticks(int64_t ns)
{
	const int64_t ticks = ns >> RPD_TICK_LOG;

	if (ns == 0)
		return 0;
	return ticks < 1 ? 1 : ticks > RPD_TICKS_MAX ? RPD_TICKS_MAX : (uint32_t)ticks;
}

void dealing_apply(const struct dealing *dealing, struct rpd_schedule *s)
{
	s->policy = dealing->policy;
	s->stuck_after = dealing_count_ticks(dealing->skip_stuck);
	s->slow_start = dealing_count_ticks(dealing->slow_start);
	s->choices = dealing->choices ? dealing->choices : RPD_CHOICES_DEFAULT;
}

struct dealing dealing_read(const struct rpd_schedule *s)
{
	return (struct dealing){.policy = s->policy,
	                        .skip_stuck = (int64_t)s->stuck_after << RPD_TICK_LOG,
	                        .slow_start = (int64_t)s->slow_start << RPD_TICK_LOG,
	                        .choices = s->choices};
}

static bool dealing_schedules_equal(const struct rpd_schedule *a, const struct rpd_schedule *b)
{
	return a->policy == b->policy && a->stuck_after == b->stuck_after &&
	       a->slow_start == b->slow_start && a->choices == b->choices;
}

bool dealing_is_of(const struct dealing *dealing, const struct rpd_schedule *s)
{
	struct rpd_schedule wanted;

	dealing_apply(dealing, &wanted);
	return dealing_schedules_equal(&wanted, s);
}

bool dealing_equal(const struct dealing *a, const struct dealing *b)
{
	struct rpd_schedule other;

	dealing_apply(b, &other);
	return dealing_is_of(a, &other);
}
