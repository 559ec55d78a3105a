/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/dealing.h"
#include "core/schedule.h"

#define TICK_NS (1ll << RPD_TICK_LOG)

static void defaults_are_those_of_a_schedule(void **state)
{
	static const struct dealing defaults;
	struct rpd_schedule s;

	schedule_init(&s);
	assert_true(dealing_is_of(&defaults, &s));
	dealing_apply(&defaults, &s);
	assert_int_equal(s.policy, RPD_ROUND_ROBIN);
	assert_int_equal(s.stuck_after, 0);
	assert_int_equal(s.slow_start, 0);
	assert_int_equal(s.choices, RPD_CHOICES_DEFAULT);
}

/* Any time above 0 is on; none is negative for the program. */
static void times_are_ticks(void **state)
{
	static const struct {
		int64_t ns;
		uint32_t ticks;
	} rows[] = {
	        {0, 0},       {1, 1},        {TICK_NS - 1, 1},
	        {TICK_NS, 1}, {5000000, 19}, {INT64_MAX, RPD_TICKS_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct dealing dealing = {.skip_stuck = rows[i].ns, .slow_start = rows[i].ns};
		struct dealing again;
		struct rpd_schedule s;

		dealing_apply(&dealing, &s);
		assert_int_equal(s.stuck_after, rows[i].ticks);
		assert_int_equal(s.slow_start, rows[i].ticks);
		again = dealing_read(&s);
		assert_true(dealing_is_of(&again, &s));
	}
}

static void each_setting_is_compared(void **state)
{
	const struct dealing base = {RPD_LEAST_CONNECTIONS, 5000000, 1000000000, 4};
	struct dealing other[4] = {base, base, base, base};

	other[0].policy = RPD_STICKY;
	other[1].skip_stuck = 0;
	other[2].slow_start = 2000000000;
	other[3].choices = 5;
	assert_true(dealing_equal(&base, &base));
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		assert_false(dealing_equal(&base, &other[i]));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(defaults_are_those_of_a_schedule),
	        cmocka_unit_test(times_are_ticks),
	        cmocka_unit_test(each_setting_is_compared),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
