/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

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

int parse_seconds(const char *text, double *ret)
{
	char *end;
	double value;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	value = strtod(text, &end);
	if (*end == 's')
		end++;
	if (*end || !isfinite(value) || value > 1e9)
		return -EINVAL;
	*ret = value;
	return 0;
}
