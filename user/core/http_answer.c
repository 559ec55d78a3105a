/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/http_answer.h"

#include <ctype.h>
#include <string.h>

/* HTTP/1.1 200 */
#define VERSION "HTTP/1."
#define STATUS  (sizeof(VERSION "1 ") - 1)
#define DIGITS  3

static int http_answer_read_status(const char *line, size_t n)
{
	int status = 0;

	if (n < STATUS + DIGITS || memcmp(line, VERSION, strlen(VERSION)) != 0 ||
	    !isdigit((unsigned char)line[STATUS - 2]) || line[STATUS - 1] != ' ' ||
	    (n > STATUS + DIGITS && line[STATUS + DIGITS] != ' '))
		return -1;
	for (size_t i = STATUS; i < STATUS + DIGITS; i++) {
		if (!isdigit((unsigned char)line[i]))
			return -1;
		status = 10 * status + (line[i] - '0');
	}
	return status;
}

int http_answer_parse(const char *bytes, size_t n, struct http_answer *ret)
{
	const char *end;
	int status;

	if (n > HTTP_ANSWER_MAX)
		n = HTTP_ANSWER_MAX;
	end = memchr(bytes, '\n', n);
	if (!end && n < HTTP_ANSWER_MAX)
		return HTTP_ANSWER_UNFINISHED;
	if (end)
		n = end - bytes;
	if (n && end && bytes[n - 1] == '\r')
		n--;
	status = http_answer_read_status(bytes, n);
	if (status < 0)
		return HTTP_ANSWER_BAD;
	n -= STATUS;
	/* The text may be printed on a terminal. */
	for (size_t i = 0; i < n; i++)
		ret->text[i] = bytes[STATUS + i] >= ' ' && bytes[STATUS + i] <= '~'
		                       ? bytes[STATUS + i]
		                       : '?';
	ret->text[n] = '\0';
	ret->status = status;
	return 0;
}
