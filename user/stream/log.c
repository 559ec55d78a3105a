/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "stream/out_queue.h"

static struct out_queue *queue;
static unsigned long n_lost; /* lines that were dropped, as there was no room */

static bool log_flush(void)
{
	char text[128];
	int n;

	if (!out_queue_flush(queue))
		return false;
	if (!n_lost)
		return true;
	n = snprintf(text, sizeof(text),
	             "reuseportd: %lu line%s missing here: standard error was not read", n_lost,
	             n_lost == 1 ? " is" : "s are");
	n_lost = 0;
	out_queue_add(queue, text, n);
	return out_queue_flush(queue);
}

static void log_on_drained(void *data)
{
	log_flush();
}

int log_open(sd_event *loop)
{
	n_lost = 0;
	return out_queue_new(loop, STDERR_FILENO, log_on_drained, NULL, &queue);
}

void log_line(const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *line = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0) {
		text = NULL;
		n_lost++;
		return;
	}
	line = escape_new(text, ESCAPE_LINES);
	if (!queue) {
		fprintf(stderr, "%s\n", line ? line : "out of memory");
		return;
	}
	if (!line || out_queue_length(queue) + strlen(line) > LOG_KEPT_MAX ||
	    !out_queue_add(queue, line, strlen(line)))
		n_lost++;
	log_flush();
}

/* Writes the rest until the time @end (CLOCK_MONOTONIC). Returns whether a further line would be
 * accepted at once. */
static bool log_flush_until(int64_t end)
{
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

	for (;;) {
		const bool done = log_flush();
		const int64_t left = end - clock_ns(CLOCK_MONOTONIC);

		ready.revents = 0;
		if (poll(&ready, 1, left > 0 ? (int)(left / 1000000) : 0) == 1 && done)
			return true;
		if (left <= 0)
			return false;
	}
}

void log_close(int64_t ns)
{
	_cleanup_close_ int nowhere = -1;

	if (!queue)
		return;
	if (!log_flush_until(clock_ns(CLOCK_MONOTONIC) + ns)) {
		nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(nowhere, STDERR_FILENO);
	}
	out_queue_free(queue);
	queue = NULL;
}
