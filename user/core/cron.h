/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cron expressions: five fields, minute, hour, day of the month, month, day of the week. Pure: the
 * time and the time zone are arguments.
 *
 * Each field is "*", a number, a range "1-5", any of these with a step ("*" "/15", "8-18/2"; "5/10"
 * starts at 5), or a list of these. Months and days of the week have names (jan, mon; any case);
 * Sunday is 0 and 7. If both day fields are restricted, one match is enough, as in cron(8). Also
 * @yearly (@annually), @monthly, @weekly, @daily (@midnight) and @hourly.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Bit n: the number n is in the field. */
struct cron {
	uint64_t minutes;
	uint32_t hours;
	uint32_t days;    /* 1..31 */
	uint16_t months;  /* 1..12 */
	uint8_t weekdays; /* 0..6, 0 = Sunday */
	bool any_day;     /* the field began with "*" */
	bool any_weekday;
};

/* On bad input error_usage() names the field and the mistake. */
int cron_parse(const char *text, struct cron *ret, struct error *err);

/*
 * Returns the first full minute after @after (seconds since the epoch, 1970 or later) that @cron
 * allows, where clocks are @offset seconds ahead of UTC (tm_gmtoff; 0 for UTC). -1 if there is none
 * (30 February). Ignores clock changes: see cron_next_local().
 */
int64_t cron_next(const struct cron *cron, int64_t after, long offset);

/*
 * The same in local time with clock changes: offset_at() returns how many seconds clocks are ahead
 * of UTC at a time (tm_gmtoff). A local time that the clocks skip is taken as if they had not been
 * changed. A local time that the clocks show twice comes twice.
 */
int64_t cron_next_local(const struct cron *cron, int64_t after, long (*offset_at)(int64_t when));
