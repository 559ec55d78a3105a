/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/cron.h"

/* 2024-02-28 12:34:56 UTC, a Wednesday of a leap year */
#define THEN 1709123696

static int64_t at(int year, int month, int day, int hour, int minute)
{
	struct tm tm = {.tm_year = year - 1900,
	                .tm_mon = month - 1,
	                .tm_mday = day,
	                .tm_hour = hour,
	                .tm_min = minute};

	return timegm(&tm);
}

static void next_time(void **state)
{
	const struct {
		const char *text;
		int64_t next;
	} cases[] = {
	        {"* * * * *", at(2024, 2, 28, 12, 35)},
	        {"*/5 * * * *", at(2024, 2, 28, 12, 35)},
	        {"34 * * * *", at(2024, 2, 28, 13, 34)},
	        {"0 4 * * *", at(2024, 2, 29, 4, 0)},
	        {"@daily", at(2024, 2, 29, 0, 0)},
	        {"@Hourly", at(2024, 2, 28, 13, 0)},
	        {"@monthly", at(2024, 3, 1, 0, 0)},
	        {"@weekly", at(2024, 3, 3, 0, 0)},
	        {"@yearly", at(2025, 1, 1, 0, 0)},
	        {"0 0 * * 7", at(2024, 3, 3, 0, 0)},
	        {"0 0 * * sun", at(2024, 3, 3, 0, 0)},
	        {"0 0 * * MON-wed", at(2024, 3, 4, 0, 0)},
	        {"0 0 1 * fri", at(2024, 3, 1, 0, 0)},
	        {"0 0 13 * fri", at(2024, 3, 1, 0, 0)},  /* either */
	        {"0 0 */1 * fri", at(2024, 3, 1, 0, 0)}, /* both */
	        {"0 0 29 feb *", at(2024, 2, 29, 0, 0)},
	        {"0 0 30 1,2,11 *", at(2024, 11, 30, 0, 0)},
	        {"5/20 8-18/5 * * *", at(2024, 2, 28, 13, 5)},
	        {"35,10 12 * * *", at(2024, 2, 28, 12, 35)},
	        {"0 0 30 2 *", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err;
		struct cron cron;
		int64_t got;

		assert_int_equal(cron_parse(cases[i].text, &cron, &err), 0);
		got = cron_next(&cron, THEN, 0);
		if (got != cases[i].next)
			fail_msg("%s: %ld, not %ld", cases[i].text, (long)got, (long)cases[i].next);
	}
}

/* The next 29 February after 2096 is in 2104. */
static void leap_day_after_a_century(void **state)
{
	struct error err;
	struct cron cron;

	assert_int_equal(cron_parse("0 0 29 2 *", &cron, &err), 0);
	assert_int_equal(cron_next(&cron, at(2096, 2, 29, 0, 0), 0), at(2104, 2, 29, 0, 0));
}

/* 4:00 where clocks are two hours ahead, and five and a half, and eight behind. */
static void other_time_zones(void **state)
{
	struct error err;
	struct cron cron;

	assert_int_equal(cron_parse("0 4 * * *", &cron, &err), 0);
	assert_int_equal(cron_next(&cron, THEN, 2 * 3600), at(2024, 2, 29, 2, 0));
	assert_int_equal(cron_next(&cron, THEN, 19800), at(2024, 2, 28, 22, 30));
	assert_int_equal(cron_next(&cron, at(2024, 2, 28, 11, 59), -8 * 3600),
	                 at(2024, 2, 28, 12, 0));
	assert_int_equal(cron_next(&cron, at(2024, 2, 28, 12, 0), -8 * 3600),
	                 at(2024, 2, 29, 12, 0));
}

/* As in Berlin in 2024: two hours ahead from 31 March to 27 October, 1:00 UTC; else one. */
static long offset_at(int64_t when)
{
	return when >= at(2024, 3, 31, 1, 0) && when < at(2024, 10, 27, 1, 0) ? 7200 : 3600;
}

/* All times in UTC. */
static void daylight_saving_time(void **state)
{
	const struct {
		const char *text;
		int64_t after, next;
	} cases[] = {
	        {"0 4 * * *", at(2024, 3, 30, 3, 0), at(2024, 3, 31, 2, 0)},
	        {"0 4 * * *", at(2024, 3, 31, 2, 0), at(2024, 4, 1, 2, 0)},
	        {"0 4 * * *", at(2024, 10, 26, 2, 0), at(2024, 10, 27, 3, 0)},
	        {"0 4 * * *", at(2024, 10, 27, 3, 0), at(2024, 10, 28, 3, 0)},
	        {"0 4 1 7 *", at(2024, 1, 1, 0, 0), at(2024, 7, 1, 2, 0)},
	        {"0 4 1 12 *", at(2024, 7, 1, 2, 0), at(2024, 12, 1, 3, 0)},
	        /* before the change */
	        {"30 0 * * *", at(2024, 3, 29, 23, 30), at(2024, 3, 30, 23, 30)},
	        {"@hourly", at(2024, 3, 31, 0, 30), at(2024, 3, 31, 1, 0)},
	        {"@hourly", at(2024, 10, 27, 0, 30), at(2024, 10, 27, 1, 0)},
	        /* 2:30 does not exist, or exists twice */
	        {"30 2 * * *", at(2024, 3, 30, 1, 30), at(2024, 3, 31, 1, 30)},
	        {"30 2 * * *", at(2024, 3, 31, 0, 29), at(2024, 3, 31, 1, 30)},
	        {"30 2 * * *", at(2024, 3, 31, 0, 45), at(2024, 3, 31, 1, 30)},
	        {"30 2 * * *", at(2024, 3, 31, 1, 30), at(2024, 4, 1, 0, 30)},
	        {"30 2 * * *", at(2024, 10, 26, 0, 30), at(2024, 10, 27, 0, 30)},
	        {"30 2 * * *", at(2024, 10, 27, 0, 30), at(2024, 10, 27, 1, 30)},
	        {"30 2 * * *", at(2024, 10, 27, 1, 30), at(2024, 10, 28, 1, 30)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err;
		struct cron cron;
		int64_t got;

		assert_int_equal(cron_parse(cases[i].text, &cron, &err), 0);
		got = cron_next_local(&cron, cases[i].after, offset_at);
		if (got != cases[i].next)
			fail_msg("%s after %ld: %ld, not %ld", cases[i].text, (long)cases[i].after,
			         (long)got, (long)cases[i].next);
	}
}

/* As long as a field can be. */
static void every_minute_listed(void **state)
{
	char text[256] = "0";
	struct error err;
	struct cron cron;

	for (int minute = 1; minute < 60; minute++)
		sprintf(text + strlen(text), ",%d", minute);
	strcat(text, " * * * *");
	assert_int_equal(cron_parse(text, &cron, &err), 0);
	assert_true(cron.minutes == (1ull << 60) - 1);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
	        {"", "five fields"},
	        {"* * * *", "five fields"},
	        {"0 * * * * *", "five fields"},
	        {"@reboot", "five fields"},
	        {"60 * * * *", "'60' is not a valid minute"},
	        {"-1 * * * *", "is not a valid minute"},
	        {"* 24 * * *", "'24' is not a valid hour"},
	        {"* * 0 * *", "'0' is not a valid day of the month"},
	        {"* * 32 * *", "is not a valid day of the month"},
	        {"* * * 13 *", "is not a valid month"},
	        {"* * * * 8", "is not a valid day of the week"},
	        {"* * * * mo", "is not a valid day of the week"},
	        {"* * * mon *", "is not a valid month"},
	        {"5-1 * * * *", "is not a valid minute"},
	        {"*/0 * * * *", "is not a valid minute"},
	        {"*/ * * * *", "is not a valid minute"},
	        {"1, * * * *", "is not a valid minute"},
	        {"*-5 * * * *", "is not a valid minute"},
	        {"1-2-3 * * * *", "is not a valid minute"},
	        {"1//2 * * * *", "is not a valid minute"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err;
		struct cron cron;

		if (cron_parse(cases[i].text, &cron, &err) >= 0)
			fail_msg("'%s' is taken", cases[i].text);
		assert_int_equal(err.status, EXIT_USAGE);
		if (!strstr(err.text, cases[i].said))
			fail_msg("'%s': %s", cases[i].text, err.text);
	}
}

/* Writes a random field from @min to @max: all values, a range with a step, or two values. */
static void write_field(char *to, int min, int max)
{
	const int a = min + seed_next(max - min + 1), b = a + seed_next(max - a + 1);

	to += strlen(to);
	if (seed_next(2))
		strcpy(to, "* ");
	else if (seed_next(2))
		sprintf(to, "%d-%d/%u ", a, b, 1 + seed_next(4));
	else
		sprintf(to, "%d,%d ", b, a);
}

static int is_match(const struct cron *cron, int64_t time)
{
	const time_t t = time;
	struct tm tm;
	int day, weekday;

	gmtime_r(&t, &tm);
	day = !!(cron->days & 1u << tm.tm_mday);
	weekday = !!(cron->weekdays & 1u << tm.tm_wday);
	return (cron->minutes & 1ull << tm.tm_min) && (cron->hours & 1u << tm.tm_hour) &&
	       (cron->months & 2u << tm.tm_mon) &&
	       (cron->any_day || cron->any_weekday ? day && weekday : day || weekday);
}

/* Against the calendar of the C library: the result matches, and no earlier minute does. */
static void no_minute_is_left_out(void **state)
{
	seed_start("cron");
	for (int round = 0; round < 300; round++) {
		const int64_t after = seed_next(4102444800u), end = after + 20 * 86400;
		char text[128] = "";
		struct error err;
		struct cron cron;
		int64_t got, minute = after - after % 60 + 60;

		write_field(text, 0, 59);
		write_field(text, 0, 23);
		write_field(text, 1, 31);
		write_field(text, 1, 12);
		write_field(text, 0, 7);
		assert_int_equal(cron_parse(text, &cron, &err), 0);
		got = cron_next(&cron, after, 0);
		while (minute < end && !is_match(&cron, minute))
			minute += 60;
		if (minute < end ? got != minute : got != -1 && !is_match(&cron, got))
			fail_msg("%s after %ld: %ld, not %ld", text, (long)after, (long)got,
			         (long)minute);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(next_time),
	        cmocka_unit_test(leap_day_after_a_century),
	        cmocka_unit_test(other_time_zones),
	        cmocka_unit_test(every_minute_listed),
	        cmocka_unit_test(daylight_saving_time),
	        cmocka_unit_test(refused),
	        cmocka_unit_test(no_minute_is_left_out),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
