/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"

int parse_long(const char *text, long min, long max, long *ret)
{
	char *end;
	long value;

	if (!isdigit((unsigned char)text[text[0] == '-']))
		return -EINVAL;
	errno = 0;
	value = strtol(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno == ERANGE || value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int parse_tenths(const char *text, long min, long max, long *ret)
{
	char *end;
	long value;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtol(text, &end, 10);
	if (errno == ERANGE || value > max)
		return -ERANGE;
	value *= 10;
	if (*end == '.' && isdigit((unsigned char)end[1])) {
		value += end[1] - '0';
		end += 2;
	}
	if (*end == '%')
		end++;
	if (*end)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

struct unit {
	const char *name; /* "" = a plain number */
	uint64_t value;
};

static const struct unit time_units[] = {
        {"", NS_PER_S},       {"s", NS_PER_S},        {"ms", 1000000},         {"us", 1000},
        {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"d", 86400 * NS_PER_S},
};
static const struct unit size_units[] = {
        {"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1ull << 40},
};

static const struct unit *parse_find_unit(const char *name, const struct unit *units, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(name, units[i].name))
			return &units[i];
	return NULL;
}

/* NUMBER[.FRACTION][UNIT], exact up to 64 bits. */
static int parse_amount(const char *text, const struct unit *units, size_t n_units, uint64_t max,
                        uint64_t *ret)
{
	const size_t whole = strspn(text, "0123456789");
	const bool point = text[whole] == '.';
	const char *fraction = text + whole + point;
	const size_t n_fraction = point ? strspn(fraction, "0123456789") : 0;
	const struct unit *unit = parse_find_unit(fraction + n_fraction, units, n_units);
	unsigned __int128 value = 0, part = 0, scale = 1;

	if (whole == 0 || (point && n_fraction == 0) || !unit)
		return -EINVAL;
	for (size_t i = 0; i < whole && value <= max; i++)
		value = value * 10 + (text[i] - '0');
	/* Further digits are below the smallest step of every unit. */
	for (size_t i = 0; i < n_fraction && i < 18; i++, scale *= 10)
		part = part * 10 + (fraction[i] - '0');
	value = value * unit->value + part * unit->value / scale;
	if (value > max)
		return PARSE_TOO_LARGE;
	*ret = value;
	return 0;
}

int parse_duration(const char *text, int64_t *ret)
{
	uint64_t value;
	const int r = parse_amount(text, time_units, ARRAY_SIZE(time_units),
	                           PARSE_DURATION_MAX_S * NS_PER_S, &value);

	if (r == 0)
		*ret = value;
	return r;
}

int parse_size(const char *text, uint64_t *ret)
{
	const int r = parse_amount(text, size_units, ARRAY_SIZE(size_units), INT64_MAX, ret);

	return r == PARSE_TOO_LARGE ? -ERANGE : r;
}

int parse_bool(const char *text, bool *ret)
{
	static const char *const words[][2] = {
	        {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (int value = 0; value < 2; value++)
			if (!strcasecmp(text, words[i][value])) {
				*ret = value;
				return 0;
			}
	return -EINVAL;
}
