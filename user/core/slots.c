/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/slots.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool slots_is_list(const char *text)
{
	return isdigit((unsigned char)text[0]);
}

/* Parses the number at *@text, and moves *@text behind it. */
static int slots_parse_slot(const char **text, unsigned long *ret, const char *whole,
                            struct error *err)
{
	char *end;

	if (!slots_is_list(*text))
		return error_usage(err, "'%s' is not a list of slots, such as 3 or 0-3,7", whole);
	*ret = strtoul(*text, &end, 10);
	if (*ret >= RPD_SLOT_MAX)
		return error_usage(err, "slot %.*s is out of range: slots are 0 to %d",
		                   (int)(end - *text), *text, RPD_SLOT_MAX - 1);
	*text = end;
	return 0;
}

int slots_parse(struct slots *slots, const char *text, struct error *err)
{
	bool has[RPD_SLOT_MAX] = {};
	const char *at = text;
	unsigned long first = 0, last;

	for (size_t i = 0; i < slots->n; i++)
		has[slots->at[i]] = true;
	for (;; at++) {
		int r = slots_parse_slot(&at, &first, text, err);

		last = first;
		if (r == 0 && *at == '-') {
			at++;
			r = slots_parse_slot(&at, &last, text, err);
		}
		if (r < 0)
			return r;
		if (last < first || (*at && *at != ','))
			return error_usage(err, "'%s' is not a list of slots, such as 3 or 0-3,7",
			                   text);
		memset(has + first, true, last - first + 1);
		if (!*at)
			break;
	}
	slots->n = 0;
	for (size_t slot = 0; slot < RPD_SLOT_MAX; slot++)
		if (has[slot])
			slots->at[slots->n++] = slot;
	return 0;
}

#define SLOTS_MORE "..."

/* The index of the last slot in the run of consecutive slots that begins at index @first. */
static size_t slots_find_run_end(const struct slots *slots, size_t first)
{
	while (first + 1 < slots->n && slots->at[first + 1] == slots->at[first] + 1)
		first++;
	return first;
}

const char *slots_format(const struct slots *slots, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < slots->n; i++) {
		size_t last = slots_find_run_end(slots, i);
		char part[32];
		int n = snprintf(part, sizeof(part), last > i ? "%s%u-%u" : "%s%u", i ? "," : "",
		                 slots->at[i], slots->at[last]);
		bool final = last + 1 == slots->n;

		if (used + n + (final ? 0 : strlen(SLOTS_MORE)) >= size) {
			if (used + strlen(SLOTS_MORE) < size)
				strcpy(buf + used, SLOTS_MORE);
			return buf;
		}
		strcpy(buf + used, part);
		used += n;
		i = last;
	}
	return buf;
}
