/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>

#include "base/cleanup.h"
#include "base/parse.h"

#define UNTOUCHED (-77)

struct number_case {
	const char *text;
	long min, max;
	int r;
	long value;
};

/* A result that is refused is left alone. */
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

	(void)state;
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

	(void)state;
	expect_numbers(parse_tenths, cases, ARRAY_SIZE(cases));
}

static void seconds(void **state)
{
	static const struct {
		const char *text;
		int r;
		double value;
	} cases[] = {
	        {"0", 0, 0},
	        {"5", 0, 5},
	        {"0.25", 0, 0.25},
	        {"2.", 0, 2},
	        {"30s", 0, 30},
	        {"1.5s", 0, 1.5},
	        {"1000000000", 0, 1e9},
	        {"1000000001", -EINVAL},
	        {"", -EINVAL},
	        {"s", -EINVAL},
	        {"-1", -EINVAL},
	        {"+1", -EINVAL},
	        {".5", -EINVAL},
	        {" 1", -EINVAL},
	        {"1 ", -EINVAL},
	        {"1 s", -EINVAL},
	        {"1ss", -EINVAL},
	        {"1m", -EINVAL},
	        {"1ms", -EINVAL},
	        {"inf", -EINVAL},
	        {"nan", -EINVAL},
	        {"1e999", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double value = UNTOUCHED;
		const int r = parse_seconds(cases[i].text, &value);

		if (r != cases[i].r || value != (r == 0 ? cases[i].value : UNTOUCHED))
			fail_msg("'%s': %d, %g", cases[i].text, r, value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(longs),
	        cmocka_unit_test(tenths),
	        cmocka_unit_test(seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
