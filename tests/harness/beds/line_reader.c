/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/line_reader.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check/check.h"

/* Whether the text is the beginning of a line that must come. */
static bool line_reader_is_beginning(const struct line_reader *r, const char *text, size_t length)
{
	char whole[OUTPUT_BED_LINE_MAX + 88];

	for (int i = 0; i < OUTPUT_BED_WRITERS; i++) {
		const int head = sprintf(whole, "svc.%d | ", i);

		if (length < head + output_bed_line(whole + head, i, r->next[i]) &&
		    !memcmp(text, whole, length))
			return true;
	}
	return false;
}

static void line_reader_take(struct line_reader *r, const char *text, size_t length)
{
	int writer = -1, tagged = -2, n = -1, head = 0;
	char copy[600], line[OUTPUT_BED_LINE_MAX];

	snprintf(copy, sizeof(copy), "%.*s", (int)length, text);
	if (sscanf(copy, "svc.%d | %n%d %d ", &tagged, &head, &writer, &n) == 3 &&
	    tagged == writer && writer >= 0 && writer < OUTPUT_BED_WRITERS && n >= 0 &&
	    n <= r->next[writer] && output_bed_line(line, writer, n) == length - (size_t)head &&
	    !memcmp(text + head, line, length - (size_t)head)) {
		if (n < r->beyond[writer])
			r->repeated++;
		else
			r->beyond[writer] = n + 1;
		r->next[writer] = n + 1;
		return;
	}
	if (line_reader_is_beginning(r, text, length - 1))
		r->cut++;
	else if (r->bad++ == 0)
		snprintf(r->first_bad, sizeof(r->first_bad), "%s", copy);
}

bool line_reader_read_some(struct line_reader *r, size_t max, int ms)
{
	struct pollfd ready = {.fd = r->fd, .events = POLLIN};
	size_t done = 0;
	ssize_t got;
	char *end;

	if (max > sizeof(r->text) - r->n)
		max = sizeof(r->text) - r->n;
	if (poll(&ready, 1, ms) != 1)
		return false;
	got = read(r->fd, r->text + r->n, max);
	if (got <= 0)
		return false;
	r->n += got;
	while ((end = memchr(r->text + done, '\n', r->n - done))) {
		line_reader_take(r, r->text + done, end + 1 - (r->text + done));
		done = end + 1 - r->text;
	}
	memmove(r->text, r->text + done, r->n - done);
	r->n -= done;
	return true;
}

int line_reader_count(const struct line_reader *r)
{
	int sum = 0;

	for (int i = 0; i < OUTPUT_BED_WRITERS; i++)
		sum += r->beyond[i];
	return sum;
}

bool line_reader_read(struct line_reader *r, int n, size_t at_once)
{
	while (line_reader_count(r) < n && r->bad == 0)
		if (!line_reader_read_some(r, at_once, 1000 * DEADLINE_S))
			return false;
	if (r->bad)
		fprintf(stderr, "%d bad lines; the first: %s\n", r->bad, r->first_bad);
	return r->bad == 0;
}

bool line_reader_is_exact(const struct line_reader *r)
{
	return r->bad == 0 && r->repeated == 0 && r->cut == 0 && r->n == 0;
}

bool line_reader_text_comes(int fd, const char *expected)
{
	size_t n = strlen(expected), at = 0;
	char text[4096];

	while (at < n) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		ssize_t got = poll(&ready, 1, 1000 * DEADLINE_S) == 1 ? read(fd, text, n - at) : 0;

		if (got <= 0 || memcmp(text, expected + at, got) != 0)
			return false;
		at += got;
	}
	return true;
}
