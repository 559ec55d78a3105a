/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/signal_name.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

int signal_name_parse(const char *text, int *ret)
{
	const char *name = strncmp(text, "SIG", 3) ? text : text + 3;
	long number;

	if (parse_long(text, 1, 64, &number) == 0) {
		*ret = number;
		return 0;
	}
	for (int i = 1; i < 32; i++) {
		const char *known = sigabbrev_np(i);

		if (known && !strcmp(name, known)) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *signal_name_format(int number, char buf[SIGNAL_NAME_MAX])
{
	const char *known = sigabbrev_np(number);

	if (known)
		snprintf(buf, SIGNAL_NAME_MAX, "SIG%s", known);
	else
		snprintf(buf, SIGNAL_NAME_MAX, "%d", number);
	return buf;
}
