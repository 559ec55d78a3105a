/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/response_count.h"

#include <string.h>

#include "bed/unit.h"

static void buckets_join_without_gap(void **state)
{
	for (uint32_t i = 0; i < RESPONSE_BUCKETS; i++) {
		const uint64_t floor = response_bucket_floor(i), end = response_bucket_floor(i + 1);

		assert_true(floor < end);
		assert_int_equal(response_bucket(floor), i);
		assert_int_equal(response_bucket(end - 1), i);
		/* an eighth of an octave: at most 12.5 % wide */
		assert_true((end - floor) * 8 <= floor);
	}
	assert_int_equal(response_bucket_floor(0), 1 << RESPONSE_SHORTEST_LOG);
	assert_true(response_bucket_floor(RESPONSE_BUCKETS) == 1ull << RESPONSE_LONGEST_LOG);
}

static void times_out_of_range_are_in_the_outermost_buckets(void **state)
{
	assert_int_equal(response_bucket(0), 0);
	assert_int_equal(response_bucket(1), 0);
	assert_int_equal(response_bucket(1023), 0);
	assert_int_equal(response_bucket(1ull << RESPONSE_LONGEST_LOG), RESPONSE_BUCKETS - 1);
	assert_int_equal(response_bucket(UINT64_MAX), RESPONSE_BUCKETS - 1);
}

static void quantiles(void **state)
{
	struct response_count count = {};

	assert_int_equal(response_count_quantile_bucket(&count, 500), -1);
	assert_int_equal(response_count_quantile(&count, 990), 0);
	count.times[10] = 98;
	count.times[20] = 1;
	count.times[30] = 1;
	assert_int_equal(response_count_timed(&count), 100);
	assert_int_equal(response_count_quantile_bucket(&count, 0), 10);
	assert_int_equal(response_count_quantile_bucket(&count, 980), 10);
	assert_int_equal(response_count_quantile_bucket(&count, 990), 20);
	assert_int_equal(response_count_quantile_bucket(&count, 991), 30);
	assert_int_equal(response_count_quantile_bucket(&count, 1000), 30);
	assert_int_equal(response_count_quantile(&count, 500), response_bucket_floor(11));
	assert_int_equal(response_count_slower(&count, 20), 2);
	assert_int_equal(response_count_slower(&count, 21), 1);
	assert_int_equal(response_count_slower(&count, RESPONSE_BUCKETS), 0);
}

static void steps_of_the_cumulative_histogram(void **state)
{
	struct response_count count = {};

	for (uint64_t ns = 1; ns < UINT64_MAX / 2; ns *= 2) {
		count.times[response_bucket(ns)]++; /* 1, 2, 4, ... */
		count.times[response_bucket(2 * ns - 1)]++;
	}
	for (unsigned int step = 0; step + 1 < RESPONSE_STEPS; step++) {
		uint64_t below = 0;

		for (uint64_t ns = 1; ns < response_count_bound_ns(step); ns *= 2)
			below += 2;
		assert_int_equal(response_count_below(&count, step), below);
	}
	/* Longer times are in the last bucket. */
	assert_int_equal(response_count_below(&count, RESPONSE_STEPS - 1),
	                 response_count_timed(&count));
}

static void sums(void **state)
{
	struct response_row row = {.responses = {.of = {1, 2, 3, 4, 5, 6}, .time_ns = 70},
	                           .requests = {.asked = 9, .late = 3}};
	struct response_count one, both;

	row.responses.times[7] = 8;
	one = response_count_of(&row, 0);
	both = one;
	response_count_add(&both, &one);
	assert_int_equal(both.of[5], 12);
	assert_int_equal(both.times[7], 16);
	assert_int_equal(both.time_ns, 140);
	assert_int_equal(both.asked, 18);
	assert_int_equal(both.unanswered, 6);
	assert_int_equal(response_count_final(&one), 1 + 3 + 4 + 5 + 6);
	assert_int_equal(response_count_known(&one), 3 + 4 + 5 + 6);
}

#define TICK(n) ((int64_t)(n) << RESPONSE_TICK_LOG)

/* A request is late from just after RESPONSE_LATE_TICKS on, and stays so. */
static void unanswered(void **state)
{
	const uint32_t first = 1000, late = first + RESPONSE_LATE_TICKS + 1;
	struct rpd_requests row = {};

	for (uint32_t i = 0; i < 5; i++)
		response_due_add(&row, first);
	response_due_add(&row, first + 1);
	response_due_remove(&row, first, first);
	response_due_remove(&row, first, late - 1);
	assert_int_equal(response_count_unanswered(&row, TICK(late) - 1), 0);
	assert_int_equal(response_count_unanswered(&row, TICK(late)), 3);
	response_due_remove(&row, first, late);
	assert_int_equal(response_count_unanswered(&row, TICK(late)), 3);
	assert_int_equal(response_count_unanswered(&row, TICK(late + 1)), 4);
	assert_int_equal(response_count_unanswered(&row, RESPONSE_COUNT_EVER), 4);
	/* Another tick takes the place of the first one. */
	response_due_add(&row, first + RESPONSE_DUE_TICKS);
	assert_int_equal(row.late, 3);
	assert_int_equal(response_count_unanswered(&row, TICK(late + 1)), 4);
	assert_int_equal(response_count_unanswered(&row, RESPONSE_COUNT_EVER), 5);
	/* Nothing is removed that was not added. */
	response_due_remove(&row, first, first + 1);
	response_due_remove(&row, first + 2, first + 3);
	for (uint32_t i = 0; i < 3; i++)
		response_due_remove(&row, first + 1, first + 2);
	assert_int_equal(response_count_unanswered(&row, RESPONSE_COUNT_EVER), 4);
}

/* More of a request comes, each time when what came before is late. */
static void stalls(void **state)
{
	const uint32_t first = 1000, gap = RESPONSE_LATE_TICKS + 1, end = first + 10 * gap;
	struct rpd_requests row = {};
	uint32_t tick = first;

	response_due_add(&row, tick);
	tick = response_due_move(&row, tick, first + 2);
	assert_int_equal(tick, first + 2);
	tick = response_due_move(&row, tick, tick);
	assert_int_equal(response_count_unanswered(&row, TICK(first + gap)), 0);
	for (uint32_t now = tick + gap; now < end; now += gap) {
		response_due_add(&row, now); /* another request, which is answered */
		tick = response_due_move(&row, tick, now);
		assert_int_equal(response_due_remove(&row, now, now + 1), 1);
		assert_int_equal(response_count_unanswered(&row, RESPONSE_COUNT_EVER), 1);
	}
	response_due_add(&row, end);
	assert_int_equal(response_due_remove(&row, tick, end), 0);
	assert_int_equal(response_count_unanswered(&row, RESPONSE_COUNT_EVER), 2);
}

static void classes_have_names(void **state)
{
	assert_string_equal(response_count_class(RESPONSE_UNKNOWN), "unknown");
	assert_string_equal(response_count_class(1), "1xx");
	assert_string_equal(response_count_class(5), "5xx");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(buckets_join_without_gap),
	        cmocka_unit_test(times_out_of_range_are_in_the_outermost_buckets),
	        cmocka_unit_test(quantiles),
	        cmocka_unit_test(steps_of_the_cumulative_histogram),
	        cmocka_unit_test(sums),
	        cmocka_unit_test(unanswered),
	        cmocka_unit_test(stalls),
	        cmocka_unit_test(classes_have_names),
	};

	return unit_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL);
}
