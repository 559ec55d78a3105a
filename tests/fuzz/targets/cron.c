/* SPDX-License-Identifier: BSD-2-Clause */
/* Cron expressions: a text is the same expression after it is written out, and the next time is the
 * first one that the fields allow. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/cron.h"
#include "fuzz.h"

#define MINUTES_TO_COMPARE 300
#define SUMMER_BEGIN       (89 * 86400ll + 3600) /* of each period of 365 days */
#define SUMMER_END         (300 * 86400ll + 3600)

static bool same(const struct cron *a, const struct cron *b)
{
	return a->minutes == b->minutes && a->hours == b->hours && a->days == b->days &&
	       a->months == b->months && a->weekdays == b->weekdays && a->any_day == b->any_day &&
	       a->any_weekday == b->any_weekday;
}

/* Writes a field as a list. @star: it begins with '*', as a step that allows only the first number.
 */
static size_t write_field(char *to, uint64_t bits, int min, int max, bool star)
{
	size_t n = star ? (size_t)sprintf(to, "*/%d,", max) : 0;

	for (int i = min; i <= max; i++)
		if (bits & 1ull << i)
			n += (size_t)sprintf(to + n, "%d,", i);
	to[n - 1] = ' ';
	return n;
}

static void check_written(const struct cron *cron)
{
	struct cron again;
	struct error err;
	char text[1024], *to = text;

	to += write_field(to, cron->minutes, 0, 59, false);
	to += write_field(to, cron->hours, 0, 23, false);
	to += write_field(to, cron->days, 1, 31, cron->any_day);
	to += write_field(to, cron->months, 1, 12, false);
	to += write_field(to, cron->weekdays, 0, 7, cron->any_weekday);
	*to = '\0';
	FUZZ_CHECK(cron_parse(text, &again, &err) == 0);
	FUZZ_CHECK(same(cron, &again));
}

static bool allows(const struct cron *cron, int64_t when, long offset)
{
	const time_t local = when + offset;
	struct tm tm;
	bool day, weekday;

	gmtime_r(&local, &tm);
	day = cron->days & 1u << tm.tm_mday;
	weekday = cron->weekdays & 1u << tm.tm_wday;
	return cron->minutes & 1ull << tm.tm_min && cron->hours & 1u << tm.tm_hour &&
	       cron->months & 1u << (tm.tm_mon + 1) &&
	       (cron->any_day || cron->any_weekday ? day && weekday : day || weekday);
}

static void check_next(const struct cron *cron, int64_t after, long offset)
{
	const int64_t next = cron_next(cron, after, offset);
	int64_t at = (after + offset) / 60 * 60 + 60 - offset;

	FUZZ_CHECK(next == -1 || (next > after && allows(cron, next, offset)));
	for (int i = 0; i < MINUTES_TO_COMPARE && (next < 0 || at < next); i++, at += 60)
		FUZZ_CHECK(!allows(cron, at, offset));
}

static long offset_at(int64_t when)
{
	const int64_t of_year = when % (365 * 86400ll);

	return of_year >= SUMMER_BEGIN && of_year < SUMMER_END ? 7200 : 3600;
}

static void run(const char *text, size_t size)
{
	struct cron cron;
	struct error err;
	const unsigned long hash = fuzz_hash(text);
	const int64_t after = (int64_t)(hash % (100ull * 365 * 86400)) + 86400;
	int64_t next;

	if (strlen(text) != size || cron_parse(text, &cron, &err) < 0)
		return;
	FUZZ_CHECK(cron.minutes && cron.hours && cron.days && cron.months && cron.weekdays);
	check_written(&cron);
	check_next(&cron, after, (long)(hash >> 40) % 97 * 900 - 43200);
	next = cron_next_local(&cron, after, offset_at);
	FUZZ_CHECK(next == -1 || next > after);
}

const struct fuzz_target fuzz_target = {run, 4};
