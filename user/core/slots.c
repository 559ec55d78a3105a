/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/slots.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

_Bool slots_is_list(const char *text)
{
	return isdigit((unsigned char)text[0]);
}

static void slots_add(struct slots *slots, uint16_t slot)
{
	size_t i = slots->n;

	while (i > 0 && slots->at[i - 1] > slot)
		i--;
	if (i > 0 && slots->at[i - 1] == slot)
		return;
	memmove(&slots->at[i + 1], &slots->at[i], (slots->n - i) * sizeof(slots->at[0]));
	slots->at[i] = slot;
	slots->n++;
}

/* One number at *@text, which is moved behind it. */
static int parse_slot(const char **text, unsigned long *ret, const char *whole, struct error *err)
{
	char *end;

	if (!slots_is_list(*text))
		return error_usage(err, "'%s' is no list of slots, such as 3 or 0-3,7", whole);
	*ret = strtoul(*text, &end, 10);
	if (*ret >= RPD_SLOT_MAX)
		return error_usage(err, "slot %.*s is out of range: slots are 0 to %d",
		                   (int)(end - *text), *text, RPD_SLOT_MAX - 1);
	*text = end;
	return 0;
}

int slots_parse(struct slots *slots, const char *text, struct error *err)
{
	const char *at = text;
	unsigned long first, last;

	for (;; at++) {
		int r = parse_slot(&at, &first, text, err);

		last = first;
		if (r == 0 && *at == '-') {
			at++;
			r = parse_slot(&at, &last, text, err);
		}
		if (r < 0)
			return r;
		if (last < first || (*at && *at != ','))
			return error_usage(err, "'%s' is no list of slots, such as 3 or 0-3,7",
			                   text);
		for (unsigned long slot = first; slot <= last; slot++)
			slots_add(slots, slot);
		if (!*at)
			return 0;
	}
}
