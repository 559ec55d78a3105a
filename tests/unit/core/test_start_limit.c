/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/start_limit.h"

static void begins_with_the_most(void **context)
{
	static const unsigned int cases[][2] = {{1, 4}, {2, 4}, {3, 6}, {48, 96}};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct start_limit limit;

		start_limit_init(&limit, cases[i][0]);
		assert_int_equal(limit.now, cases[i][1]);
		start_limit_note_ready(&limit);
		assert_int_equal(limit.now, cases[i][1]);
	}
}

/* Workers that were started together halve the limit once. */
static void halves_once_a_round(void **context)
{
	struct start_limit limit;

	start_limit_init(&limit, 4);
	for (int64_t worker = 0; worker < 8; worker++)
		assert_int_equal(start_limit_note_late(&limit, worker, 100 + worker), worker == 0);
	assert_int_equal(limit.now, 4);
	assert_true(start_limit_note_late(&limit, 110, 210));
	assert_true(start_limit_note_late(&limit, 210, 310));
	assert_int_equal(limit.now, 1);
	assert_false(start_limit_note_late(&limit, 310, 410));
	assert_int_equal(limit.now, 1);
}

static void grows_after_success(void **context)
{
	static const unsigned int after[] = {2, 2, 3, 3, 3, 4, 4, 4, 4, 4};
	struct start_limit limit;

	start_limit_init(&limit, 1);
	start_limit_note_late(&limit, 1, 2);
	start_limit_note_late(&limit, 3, 4);
	assert_int_equal(limit.now, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(after); i++) {
		start_limit_note_ready(&limit);
		assert_int_equal(limit.now, after[i]);
	}
	/* A failure in between: as many successes are needed again. */
	start_limit_note_late(&limit, 5, 6);
	start_limit_note_ready(&limit);
	start_limit_note_late(&limit, 5, 7);
	assert_int_equal(limit.now, 2);
	start_limit_note_ready(&limit);
	assert_int_equal(limit.now, 2);
	start_limit_note_ready(&limit);
	assert_int_equal(limit.now, 3);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(begins_with_the_most),
	        cmocka_unit_test(halves_once_a_round),
	        cmocka_unit_test(grows_after_success),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
