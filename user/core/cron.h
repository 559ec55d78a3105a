/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times as cron(8) writes them, in five fields: minute, hour, day of the month, month, day of the
 * week. Pure: what time it is, and where, are arguments.
 *
 * Each field is "*", a number, a range "1-5", any of these with a step ("*" "/15", "8-18/2"; "5/10"
 * is from 5 on), or a list of them. Months and days of the week have names (jan, mon; any case);
 * Sunday is 0 and 7. If both days are restricted, either is enough, as everywhere. Also @yearly
 * (@annually), @monthly, @weekly, @daily (@midnight) and @hourly.
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

/* error_usage(): which field, and what is wrong in it. */
int cron_parse(const char *text, struct cron *ret, struct error *err);

/*
 * The first full minute after @after (seconds since the epoch; some day of 1970 at least) at which
 * it is the time where clocks are @offset seconds ahead of UTC (tm_gmtoff of @after; 0 for UTC). -1
 * if it never is (30 February). Clocks that are set in between are the caller's, or of
 * cron_next_local().
 */
int64_t cron_next(const struct cron *cron, int64_t after, long offset);

/*
 * The same where @offset_at tells how many seconds clocks are ahead of UTC (tm_gmtoff), which may
 * be others at the time that is found than at @after. A time that clocks skip comes when it would
 * have come had they not been set; one that they show twice comes twice.
 */
int64_t cron_next_local(const struct cron *cron, int64_t after, long (*offset_at)(int64_t when));
