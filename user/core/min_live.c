/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/min_live.h"

#include <stdio.h>
#include <string.h>
#include <reuseportd/abi.h>

#include "base/parse.h"

int min_live_parse(const char *text, struct min_live *ret, struct error *err)
{
	const size_t n = text ? strlen(text) : 0;
	const bool is_percent = n && text[n - 1] == '%';
	char digits[8] = "1";
	long number;

	if (text)
		snprintf(digits, sizeof(digits), "%.*s", (int)(n - is_percent), text);
	if (n >= sizeof(digits) ||
	    parse_long(digits, 1, is_percent ? 100 : RPD_SLOT_MAX, &number) < 0)
		return error_usage(err,
		                   "'%s' is neither a number of workers from 1 to %d nor a "
		                   "percentage such as 50%%",
		                   text, RPD_SLOT_MAX);
	*ret = (struct min_live){.number = (unsigned int)number, .is_percent = is_percent};
	return 0;
}

unsigned int min_live_count(const struct min_live *it, unsigned int wanted)
{
	const unsigned int n = it->is_percent ? (wanted * it->number + 99) / 100 : it->number;

	if (!wanted)
		return 0;
	return n ? n : 1;
}
