/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "core/service_name.h"

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

static void choice(void **state)
{
	assert_string_equal(nearest_find("worker", name_of, names, 3), "workers");
	assert_string_equal(nearest_find("usr", name_of, names, 3), "user");
	assert_string_equal(nearest_find("cdw", name_of, names, 3), "cwd");
	assert_null(nearest_find("xy", name_of, names, 3));
	assert_null(nearest_find("something", name_of, names, 3));
	assert_null(nearest_find("cwd", name_of, names, 0));
}

static void service_names(void **state)
{
	static const struct {
		const char *program;
		uint16_t port;
		const char *name;
	} cases[] = {
	        {"node", 0, "node"},
	        {"node", 8080, "node-8080"},
	        {"python3.11", 80, "python3-11-80"},
	        {"7z", 0, "p7z"},
	        {"", 80, "p-80"},
	        {"a-very-long-program-name-it-is-more", 0, "a-very-long-program-name-it-is-"},
	        {"a-very-long-program-name-it-is", 65535, "a-very-long-program-name--65535"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char name[RPD_LABEL_MAX];
		struct error err;

		service_name_derive(cases[i].program, cases[i].port, name);
		assert_string_equal(name, cases[i].name);
		assert_int_equal(service_name_check(name, &err), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(distances),
	        cmocka_unit_test(choice),
	        cmocka_unit_test(service_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
