/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/min_live.h"

/* How many of @wanted workers are needed; 0 = @text is refused. */
static unsigned int count(const char *text, unsigned int wanted)
{
	struct min_live it;
	struct error err;

	return min_live_parse(text, &it, &err) < 0 ? 0 : min_live_count(&it, wanted);
}

static void numbers(void **state)
{
	assert_int_equal(count(NULL, 4), 1);
	assert_int_equal(count("1", 4), 1);
	assert_int_equal(count("4", 4), 4);
	assert_int_equal(count("1024", 4), 1024);
	assert_int_equal(min_live_count(&(struct min_live){}, 4), 1);
}

static void percentages(void **state)
{
	assert_int_equal(count("50%", 4), 2);
	assert_int_equal(count("50%", 5), 3);
	assert_int_equal(count("50%", 1), 1);
	assert_int_equal(count("1%", 1024), 11);
	assert_int_equal(count("100%", 7), 7);
	assert_int_equal(count("50%", 0), 0);
	assert_int_equal(count("1", 0), 0);
}

static void refused(void **state)
{
	static const char *const texts[] = {"",     "%",  "0",          "0%",   "101%",
	                                    "1025", "-1", "1.5",        "50%%", " 50%",
	                                    "50 %", "x",  "0000000001", "1e1"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (count(texts[i], 4))
			fail_msg("'%s' is accepted", texts[i]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers),
	        cmocka_unit_test(percentages),
	        cmocka_unit_test(refused),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
