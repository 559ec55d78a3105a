/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "bed/unit.h"

static void distances(void **state)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} cases[] = {
	        {"", "", 0},
	        {"", "abc", 3},
	        {"abc", "", 3},
	        {"workers", "workers", 0},
	        {"worker", "workers", 1},
	        {"wrokers", "workers", 1},
	        {"workres", "workers", 1},
	        {"xorkers", "workers", 1},
	        {"settle", "listen", 5},
	        {"ab", "ba", 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (nearest_distance(cases[i].a, cases[i].b) != cases[i].distance)
			fail_msg("%s, %s: %zu", cases[i].a, cases[i].b,
			         nearest_distance(cases[i].a, cases[i].b));
	assert_true(nearest_distance("a",
	                             "0123456789012345678901234567890123456789012345678901234"
	                             "567890123") == SIZE_MAX);
}

static const char *const names[] = {"cwd", "workers", "user"};

static const char *name_of(const void *data, size_t i)
{
	return ((const char *const *)data)[i];
}

static void nearest_name(void **state)
{
	assert_string_equal(nearest_find("worker", name_of, names, 3), "workers");
	assert_string_equal(nearest_find("usr", name_of, names, 3), "user");
	assert_string_equal(nearest_find("cdw", name_of, names, 3), "cwd");
	assert_null(nearest_find("xy", name_of, names, 3));
	assert_null(nearest_find("something", name_of, names, 3));
	assert_null(nearest_find("cwd", name_of, names, 0));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(distances),
	        cmocka_unit_test(nearest_name),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
