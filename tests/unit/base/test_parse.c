/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "bed/seed.h"
#include "bed/unit.h"

#define UNTOUCHED (-77)

struct number_case {
	const char *text;
	long min, max;
	int r;
	long value;
};

/* A call that fails leaves the result unchanged. */
static void expect_numbers(int (*parse)(const char *text, long min, long max, long *ret),
                           const struct number_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct number_case *c = &cases[i];
		long value = UNTOUCHED;
		const int r = parse(c->text, c->min, c->max, &value);

		if (r != c->r || value != (r == 0 ? c->value : UNTOUCHED))
			fail_msg("'%s': %d, %ld", c->text, r, value);
	}
}

static void longs(void **state)
{
	static const struct number_case cases[] = {
	        {"0", 0, 10, 0, 0},
	        {"10", 0, 10, 0, 10},
	        {"007", 0, 10, 0, 7},
	        {"-3", -3, -1, 0, -3},
	        {"9223372036854775807", 0, LONG_MAX, 0, LONG_MAX},
	        {"-9223372036854775808", LONG_MIN, 0, 0, LONG_MIN},
	        {"11", 0, 10, -ERANGE},
	        {"-1", 0, 10, -ERANGE},
	        {"9223372036854775808", LONG_MIN, LONG_MAX, -ERANGE},
	        {"-9223372036854775809", LONG_MIN, LONG_MAX, -ERANGE},
	        {"99999999999999999999", 0, LONG_MAX, -ERANGE},
	        {"", 0, 10, -EINVAL},
	        {"-", 0, 10, -EINVAL},
	        {"--1", -10, 10, -EINVAL},
	        {"+1", 0, 10, -EINVAL},
	        {" 1", 0, 10, -EINVAL},
	        {"1 ", 0, 10, -EINVAL},
	        {"1x", 0, 10, -EINVAL},
	        {"0x1", 0, 10, -EINVAL},
	        {"1.0", 0, 10, -EINVAL},
	        {"x", 0, 10, -EINVAL},
	};

	expect_numbers(parse_long, cases, ARRAY_SIZE(cases));
}

static void tenths(void **state)
{
	static const struct number_case cases[] = {
	        {"5", 1, 999, 0, 50},
	        {"33.3", 1, 999, 0, 333},
	        {"99.9", 1, 999, 0, 999},
	        {"0.1", 1, 999, 0, 1},
	        {"05.0", 1, 999, 0, 50},
	        {"5%", 1, 999, 0, 50},
	        {"0.5%", 1, 999, 0, 5},
	        {"100", 1, 1000, 0, 1000},
	        {"100", 1, 999, -ERANGE},
	        {"0", 1, 999, -ERANGE},
	        {"0.0", 1, 999, -ERANGE},
	        {"1000", 1, 999, -ERANGE},
	        {"99999999999999999999", 1, 999, -ERANGE},
	        {"922337203685477580.8", 1, 999, -ERANGE},
	        {"1.25", 1, 999, -EINVAL},
	        {"1.", 1, 999, -EINVAL},
	        {"1.%", 1, 999, -EINVAL},
	        {".5", 1, 999, -EINVAL},
	        {"5%%", 1, 999, -EINVAL},
	        {"5 %", 1, 999, -EINVAL},
	        {"5,5", 1, 999, -EINVAL},
	        {"-5", 1, 999, -EINVAL},
	        {"+5", 1, 999, -EINVAL},
	        {"%", 1, 999, -EINVAL},
	        {"", 1, 999, -EINVAL},
	        {" 5", 1, 999, -EINVAL},
	};

	expect_numbers(parse_tenths, cases, ARRAY_SIZE(cases));
}

#define SECOND 1000000000ll

static void durations(void **state)
{
	static const struct {
		const char *text;
		int r;
		int64_t value;
	} cases[] = {
	        {"0", 0, 0},
	        {"30", 0, 30 * SECOND},
	        {"30s", 0, 30 * SECOND},
	        {"1500ms", 0, SECOND * 3 / 2},
	        {"1.5s", 0, SECOND * 3 / 2},
	        {"1.5", 0, SECOND * 3 / 2},
	        {"0.1", 0, SECOND / 10},
	        {"250us", 0, 250000},
	        {"2m", 0, 120 * SECOND},
	        {"1.5h", 0, 5400 * SECOND},
	        {"366d", 0, PARSE_DURATION_MAX_S * SECOND},
	        {"0.0000000001", 0, 0},
	        {"0.99999999999999999999999999", 0, SECOND - 1},
	        {"367d", PARSE_TOO_LARGE},
	        {"31622400.000000001", PARSE_TOO_LARGE},
	        {"99999999999999999999999999999999999999999999999999", PARSE_TOO_LARGE},
	        {"", -EINVAL},
	        {"s", -EINVAL},
	        {".5", -EINVAL},
	        {"1.", -EINVAL},
	        {"1.s", -EINVAL},
	        {"-1", -EINVAL},
	        {"+1", -EINVAL},
	        {" 1", -EINVAL},
	        {"1 s", -EINVAL},
	        {"1S", -EINVAL},
	        {"1min", -EINVAL},
	        {"1e3", -EINVAL},
	        {"1m30s", -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t value = UNTOUCHED;
		const int r = parse_duration(cases[i].text, &value);

		if (r != cases[i].r || value != (r == 0 ? cases[i].value : UNTOUCHED))
			fail_msg("'%s': %d, %ld", cases[i].text, r, (long)value);
	}
}

/* A time has the same value in any unit, with a fraction or without. */
static void durations_in_any_unit(void **state)
{
	static const struct {
		const char *name;
		uint64_t value;
	} units[] = {
	        {"us", 1000}, {"ms", 1000000}, {"s", SECOND}, {"", SECOND}, {"m", 60 * SECOND}};

	seed_start("durations");
	for (int round = 0; round < 20000; round++) {
		const unsigned int u = seed_next(ARRAY_SIZE(units)), whole = seed_next(100000);
		const unsigned int thousandths = seed_next(1000);
		char text[64];
		int64_t got;

		snprintf(text, sizeof(text), seed_next(2) ? "%u.%03u%s" : "%u.%03u0%s", whole,
		         thousandths, units[u].name);
		if (parse_duration(text, &got) != 0 ||
		    (uint64_t)got != (whole * 1000ull + thousandths) * (units[u].value / 1000))
			fail_msg("'%s': %ld", text, (long)got);
	}
}

/* Random text of significant letters: refused, or accepted and in range. */
static void random_text(void **state)
{
	static const char letters[] = "0019.smuhdKMGT%-+ e";

	seed_start("any text");
	for (int round = 0; round < 50000; round++) {
		char text[12] = "";
		int64_t time = UNTOUCHED;
		uint64_t size = 1;
		int r;

		for (unsigned int i = seed_next(sizeof(text)); i > 0; i--)
			text[i - 1] = letters[seed_next(sizeof(letters) - 1)];
		r = parse_duration(text, &time);
		if (r == 0 ? time < 0 || time > PARSE_DURATION_MAX_S * SECOND : time != UNTOUCHED)
			fail_msg("'%s': %d, %ld", text, r, (long)time);
		r = parse_size(text, &size);
		if (r == 0 ? size > INT64_MAX : size != 1)
			fail_msg("'%s': %d, %lu", text, r, (unsigned long)size);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} cases[] = {
	        {"0", 0, 0},
	        {"4096", 0, 4096},
	        {"1K", 0, 1024},
	        {"300M", 0, 300ull << 20},
	        {"1.5G", 0, 3ull << 29},
	        {"2T", 0, 2ull << 40},
	        {"9223372036854775807", 0, INT64_MAX},
	        {"9223372036854775808", -ERANGE},
	        {"8388608T", -ERANGE},
	        {"", -EINVAL},
	        {"M", -EINVAL},
	        {"1k", -EINVAL},
	        {"1MB", -EINVAL},
	        {"-1", -EINVAL},
	        {"50%", -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 1;
		const int r = parse_size(cases[i].text, &value);

		if (r != cases[i].r || value != (r == 0 ? cases[i].value : 1))
			fail_msg("'%s': %d, %lu", cases[i].text, r, (unsigned long)value);
	}
}

static void bools(void **state)
{
	static const char *const yes[] = {"yes", "true", "on", "1", "Yes"};
	static const char *const no[] = {"no", "false", "off", "0", "OFF"};
	static const char *const neither[] = {"", "2", "y", "yes ", "maybe"};
	bool got;

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		assert_int_equal(parse_bool(yes[i], &got), 0);
		assert_true(got);
		assert_int_equal(parse_bool(no[i], &got), 0);
		assert_false(got);
		assert_int_equal(parse_bool(neither[i], &got), -EINVAL);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(longs),       cmocka_unit_test(tenths),
	        cmocka_unit_test(durations),   cmocka_unit_test(durations_in_any_unit),
	        cmocka_unit_test(random_text), cmocka_unit_test(sizes),
	        cmocka_unit_test(bools),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
