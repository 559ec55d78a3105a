/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/notify_message.h"

#include <string.h>

bool notify_message_is_ready(const char *text, size_t n)
{
	static const char line[] = "READY=1";
	const char *end;

	if (n && !text[n - 1])
		n--;
	if (memchr(text, '\0', n))
		return false;
	end = text + n;
	while (text < end) {
		const char *newline = memchr(text, '\n', end - text);
		const size_t length = (newline ? newline : end) - text;

		if (length == strlen(line) && !memcmp(text, line, length))
			return true;
		text += length + 1;
	}
	return false;
}
