/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/slots.h"

static void lists(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		uint16_t at[8];
	} cases[] = {
	        {"3", 1, {3}},
	        {"0", 1, {0}},
	        {"1023", 1, {1023}},
	        {"007", 1, {7}},
	        {"0-3", 4, {0, 1, 2, 3}},
	        {"5-5", 1, {5}},
	        {"1,4-6", 4, {1, 4, 5, 6}},
	        {"7,0-3", 5, {0, 1, 2, 3, 7}},
	        {"3,1,2", 3, {1, 2, 3}},
	        {"2,2,2", 1, {2}},
	        {"0-4,2-6,3", 7, {0, 1, 2, 3, 4, 5, 6}},
	        {"1022-1023,0", 3, {0, 1022, 1023}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slots slots = {};
		struct error err;

		assert_int_equal(slots_parse(&slots, cases[i].text, &err), 0);
		assert_int_equal(slots.n, cases[i].n);
		assert_memory_equal(slots.at, cases[i].at, cases[i].n * sizeof(slots.at[0]));
	}
}

static void all_slots(void **state)
{
	struct slots slots = {};
	struct error err;

	assert_int_equal(slots_parse(&slots, "512-1023,0-600,0-1023", &err), 0);
	assert_int_equal(slots.n, RPD_SLOT_MAX);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		assert_int_equal(slots.at[i], i);
}

/* A second list adds to the first. */
static void second_list_adds(void **state)
{
	static const uint16_t wanted[] = {1, 2, 3, 4, 9};
	struct slots slots = {};
	struct error err;

	assert_int_equal(slots_parse(&slots, "3-4,9", &err), 0);
	assert_int_equal(slots_parse(&slots, "1-3", &err), 0);
	assert_int_equal(slots.n, ARRAY_SIZE(wanted));
	assert_memory_equal(slots.at, wanted, sizeof(wanted));
}

static void refused(void **state)
{
	static const struct {
		const char *text;
		const char *named; /* in the message */
	} cases[] = {
	        {"", "''"},
	        {"x", "'x'"},
	        {"-", "'-'"},
	        {"-1", "'-1'"},
	        {"1-", "'1-'"},
	        {"1,", "'1,'"},
	        {",1", "',1'"},
	        {"1,,2", "'1,,2'"},
	        {"1-2-3", "'1-2-3'"},
	        {"3-1", "'3-1'"},
	        {"1 ", "'1 '"},
	        {" 1", "' 1'"},
	        {"1, 2", "'1, 2'"},
	        {"1x", "'1x'"},
	        {"0x1", "'0x1'"},
	        {"1;2", "'1;2'"},
	        {"1.5", "'1.5'"},
	        {"1024", "slot 1024 "},
	        {"0-1024", "slot 1024 "},
	        {"4294967296", "slot 4294967296 "},
	        {"99999999999999999999", "slot 99999999999999999999 "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slots slots = {};
		struct error err = {};

		assert_int_equal(slots_parse(&slots, cases[i].text, &err), -EINVAL);
		assert_int_equal(err.status, EXIT_USAGE);
		if (!strstr(err.text, cases[i].named))
			fail_msg("'%s': %s", cases[i].text, err.text);
	}
}

static void texts_that_are_lists(void **state)
{
	assert_true(slots_is_list("0"));
	assert_true(slots_is_list("3-5"));
	assert_true(slots_is_list("9x")); /* meant as a list, but wrong */
	assert_false(slots_is_list("web"));
	assert_false(slots_is_list("web3"));
	assert_false(slots_is_list("-3"));
	assert_false(slots_is_list(" 3"));
	assert_false(slots_is_list(""));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(lists),
	        cmocka_unit_test(all_slots),
	        cmocka_unit_test(second_list_adds),
	        cmocka_unit_test(refused),
	        cmocka_unit_test(texts_that_are_lists),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
