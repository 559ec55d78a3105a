/* SPDX-License-Identifier: BSD-2-Clause */
/* view/event_view: which events a client gets that has seen some. */
#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "bed/unit.h"
#include "view/event_view.h"

#define MAX 4

/* Events 11 to 11 + n - 1; the one in the middle could not be read. */
static struct json_object *make(int n)
{
	struct json_object *list = json_build_new_array();

	for (int i = 0; i < n; i++)
		if (i != n / 2)
			json_build_number(json_build_row(list), "seq", 11 + i);
	return list;
}

static void expect(int n, int64_t after, const int *want)
{
	struct json_object *all = make(n), *some = event_view_after(all, after, MAX);
	size_t i = 0;

	for (; want[i]; i++)
		assert_int_equal(json_read_number(json_object_array_get_idx(some, i), "seq"),
		                 want[i]);
	assert_int_equal(json_object_array_length(some), i);
	json_object_put(some);
	json_object_put(all);
}

static void last(void **state)
{
	expect(0, -1, (int[]){0});
	expect(3, -1, (int[]){11, 13, 0});
	expect(10, -1, (int[]){17, 18, 19, 20, 0});
}

static void after_seq(void **state)
{
	expect(10, 0, (int[]){11, 12, 13, 14, 0});
	expect(10, 14, (int[]){15, 17, 18, 19, 0});
	expect(10, 16, (int[]){17, 18, 19, 20, 0});
	expect(10, 19, (int[]){20, 0});
	expect(10, 20, (int[]){0});
	expect(10, INT64_MAX, (int[]){0});
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(last),
	        cmocka_unit_test(after_seq),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
