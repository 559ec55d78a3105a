/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cron.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/parse.h"

#define DAY_S     86400
#define FIELD_MAX 256 /* a list of all minutes has 169 */

/* 29 February comes after 8 years at the latest (1896 to 1904, and so on). */
#define DAYS_TO_LOOK (9 * 366)

struct field {
	const char *name;
	long min, max;
	const char *const *names; /* of min, min + 1, ... */
	long first_name, n_names;
};

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const struct field fields[FIELDS] = {
        [MINUTE] = {"minute", 0, 59},
        [HOUR] = {"hour", 0, 23},
        [DAY] = {"day of the month", 1, 31},
        [MONTH] = {"month", 1, 12, month_names, 1, 12},
        [WEEKDAY] = {"day of the week", 0, 7, weekday_names, 0, 7},
};

static const struct {
	const char *name, *text;
} nicknames[] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
};

static int cron_parse_value(const struct field *field, const char *text, long *ret)
{
	for (long i = 0; i < field->n_names; i++)
		if (!strcasecmp(text, field->names[i])) {
			*ret = field->first_name + i;
			return 0;
		}
	return parse_long(text, field->min, field->max, ret);
}

/* Parses an element of a list: VALUE, VALUE-VALUE or *, optionally followed by /STEP. Changes
 * @text. */
static int cron_parse_element(const struct field *field, char *text, uint64_t *bits)
{
	char *slash = strchr(text, '/'), *dash;
	long first = field->min, last = field->max, step = 1;
	int r = 0;

	if (slash) {
		*slash = '\0';
		r = parse_long(slash + 1, 1, field->max, &step);
	}
	dash = strchr(text, '-');
	if (dash)
		*dash = '\0';
	if (r == 0 && strcmp(text, "*") != 0) {
		r = cron_parse_value(field, text, &first);
		if (r == 0 && dash)
			r = cron_parse_value(field, dash + 1, &last);
		else if (!slash)
			last = first;
	} else if (dash) {
		r = -EINVAL;
	}
	if (r < 0 || first > last)
		return -EINVAL;
	for (long i = first; i <= last; i += step)
		*bits |= 1ull << i;
	return 0;
}

static int cron_parse_field(const struct field *field, const char *text, uint64_t *ret,
                            struct error *err)
{
	char copy[FIELD_MAX], *rest = copy, *element;

	strcpy(copy, text); /* cron_split() has checked its length */
	*ret = 0;
	while ((element = strsep(&rest, ",")))
		if (cron_parse_element(field, element, ret) < 0)
			return error_usage(err,
			                   "'%s' is not a valid %s: give a number from %ld to %ld, "
			                   "or *, %ld-%ld, */2, or a list of these with commas",
			                   text, field->name, field->min, field->max, field->min,
			                   field->max);
	return 0;
}

static int cron_split(const char *text, char ret[FIELDS][FIELD_MAX])
{
	int n = 0;

	for (text += strspn(text, " \t"); *text; text += strspn(text, " \t")) {
		const size_t length = strcspn(text, " \t");

		if (n == FIELDS || length >= FIELD_MAX)
			return -EINVAL;
		memcpy(ret[n], text, length);
		ret[n++][length] = '\0';
		text += length;
	}
	return n == FIELDS ? 0 : -EINVAL;
}

int cron_parse(const char *text, struct cron *ret, struct error *err)
{
	char texts[FIELDS][FIELD_MAX];
	uint64_t bits[FIELDS];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(nicknames); i++)
		if (!strcasecmp(text, nicknames[i].name))
			text = nicknames[i].text;
	if (cron_split(text, texts) < 0)
		return error_usage(
		        err,
		        "'%s' is not a cron expression: give five fields (minute, hour, day of the "
		        "month, month, day of the week), such as '0 4 * * *', or @daily",
		        text);
	for (int i = 0; r == 0 && i < FIELDS; i++)
		r = cron_parse_field(&fields[i], texts[i], &bits[i], err);
	if (r < 0)
		return r;
	*ret = (struct cron){
	        .minutes = bits[MINUTE],
	        .hours = bits[HOUR],
	        .days = bits[DAY],
	        .months = bits[MONTH],
	        .weekdays = (bits[WEEKDAY] | bits[WEEKDAY] >> 7) & 0x7f,
	        .any_day = texts[DAY][0] == '*',
	        .any_weekday = texts[WEEKDAY][0] == '*',
	};
	return 0;
}

/* Computes month (1..12) and day (1..31) of the day that is @days after 1970-01-01. Counts in years
 * that begin in March, so that the leap day is the last day. */
static void cron_split_date(int64_t days, int *ret_month, int *ret_day)
{
	const int64_t since = days + 719468; /* since 0000-03-01 */
	const int64_t day_of_era = since % 146097;
	const int64_t year_of_era =
	        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	const int64_t day_of_year =
	        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	const int64_t month = (5 * day_of_year + 2) / 153;

	*ret_day = day_of_year - (153 * month + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
}

static bool cron_matches_day(const struct cron *cron, int64_t days)
{
	int month, day;
	bool by_day, by_weekday;

	cron_split_date(days, &month, &day);
	if (!(cron->months & 1u << month))
		return false;
	by_day = cron->days & 1u << day;
	by_weekday = cron->weekdays & 1u << ((days + 4) % 7); /* 1970-01-01 was a Thursday */
	return cron->any_day || cron->any_weekday ? by_day && by_weekday : by_day || by_weekday;
}

/* Finds the first minute of the day, from @minute on, that the fields allow; -1 if there is none.
 */
static int cron_find_minute(const struct cron *cron, int minute)
{
	for (; minute < DAY_S / 60; minute++)
		if (cron->hours & 1u << minute / 60 && cron->minutes & 1ull << minute % 60)
			return minute;
	return -1;
}

int64_t cron_next(const struct cron *cron, int64_t after, long offset)
{
	const int64_t local = (after + offset) - (after + offset) % 60 + 60;
	int64_t day = local / DAY_S;
	int minute = local % DAY_S / 60;

	for (int i = 0; i < DAYS_TO_LOOK; i++, day++, minute = 0) {
		const int at = cron_matches_day(cron, day) ? cron_find_minute(cron, minute) : -1;

		if (at >= 0)
			return day * DAY_S + at * 60ll - offset;
	}
	return -1;
}

int64_t cron_next_local(const struct cron *cron, int64_t after, long (*offset_at)(int64_t when))
{
	const long offset = offset_at(after);
	const int64_t next = cron_next(cron, after, offset);
	const long then = next < 0 ? offset : offset_at(next);

	/* Also if the clocks skip that local time: there is no other time for it. */
	if (then == offset || offset_at(next + offset - then) != then)
		return next;
	do
		after = cron_next(cron, after, then);
	while (after >= 0 && offset_at(after) != then); /* still before the clock change */
	return after;
}
