/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/line_queue.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096

size_t line_queue_length(const struct line_queue *queue)
{
	return queue->end - queue->begin;
}

bool line_queue_has_line(const struct line_queue *queue)
{
	return queue->whole > queue->begin;
}

void line_queue_free(struct line_queue *queue)
{
	free(queue->text);
	*queue = (struct line_queue){0};
}

size_t line_queue_count(const char *text, size_t n)
{
	const char *const end = text + n;
	size_t lines = 0;

	for (; text < end; lines++) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));

		text = line_end ? line_end + 1 : end;
	}
	return lines;
}

/* --- adding */

static void line_queue_compact(struct line_queue *queue)
{
	if (!queue->begin)
		return;
	memmove(queue->text, queue->text + queue->begin, line_queue_length(queue));
	queue->end -= queue->begin;
	queue->whole -= queue->begin;
	queue->begin = 0;
}

/* Makes room for @n more bytes. */
static bool line_queue_reserve(struct line_queue *queue, size_t n)
{
	size_t room;
	char *text;

	if (queue->end + n <= queue->room)
		return true;
	line_queue_compact(queue);
	if (queue->end + n <= queue->room)
		return true;
	room = (queue->end + n + queue->end / 4 + PAGE) / PAGE * PAGE;
	text = realloc(queue->text, room);
	if (!text)
		return false;
	queue->text = text;
	queue->room = room;
	return true;
}

static void line_queue_append(struct line_queue *queue, const char *text, size_t n)
{
	memcpy(queue->text + queue->end, text, n);
	queue->end += n;
}

bool line_queue_add(struct line_queue *queue, const char *text, size_t n)
{
	const char *const end = text + n;

	/* Some ends of lines are added, and one by line_queue_end_line(). */
	if (!n || !line_queue_reserve(queue, n + n / LINE_QUEUE_LINE_MAX + 2))
		return !n;
	while (text < end) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));
		const size_t more = (size_t)((line_end ? line_end : end) - text);
		const size_t room = LINE_QUEUE_LINE_MAX - (queue->end - queue->whole);

		if (more > room) {
			line_queue_append(queue, text, room);
			line_queue_append(queue, "\n", 1);
			text += room;
			queue->whole = queue->end;
			continue;
		}
		line_queue_append(queue, text, more + (line_end != NULL));
		text += more + (line_end != NULL);
		if (line_end)
			queue->whole = queue->end;
	}
	return true;
}

void line_queue_end_line(struct line_queue *queue)
{
	if (queue->end == queue->whole)
		return;
	line_queue_append(queue, "\n", 1);
	queue->whole = queue->end;
}

/* --- taking out */

/* The length of the first line at @at, with its end. */
static size_t line_queue_measure(const struct line_queue *queue, size_t at)
{
	const char *text = queue->text + at;
	const char *end = memchr(text, '\n', queue->whole - at);

	return end ? (size_t)(end + 1 - text) : queue->whole - at;
}

/* Copies @n bytes of a line, from its byte @from on, where the prefix is part of the line. */
static void line_queue_copy_part(const char *prefix, size_t n_prefix, const char *line, size_t from,
                                 size_t n, char *ret)
{
	size_t of_prefix = from < n_prefix ? n_prefix - from : 0;

	if (of_prefix > n)
		of_prefix = n;
	memcpy(ret, prefix + from, of_prefix);
	memcpy(ret + of_prefix, line + from + of_prefix - n_prefix, n - of_prefix);
}

size_t line_queue_copy(const struct line_queue *queue, const char *prefix, size_t max, char *ret)
{
	const size_t n_prefix = strlen(prefix);
	size_t from = queue->started, copied = 0;

	for (size_t at = queue->begin; at < queue->whole;) {
		const size_t length = line_queue_measure(queue, at);
		size_t n = n_prefix + length - from;

		if (copied && n > max - copied)
			break;
		if (n > max - copied)
			n = max;
		line_queue_copy_part(prefix, n_prefix, queue->text + at, from, n, ret + copied);
		copied += n;
		at += length;
		from = 0;
	}
	return copied;
}

static void line_queue_free_if_empty(struct line_queue *queue)
{
	if (!line_queue_length(queue))
		line_queue_free(queue);
}

void line_queue_written(struct line_queue *queue, const char *prefix, size_t n)
{
	const size_t n_prefix = strlen(prefix);

	while (n) {
		const size_t length = line_queue_measure(queue, queue->begin);
		const size_t left = n_prefix + length - queue->started;

		if (n < left) {
			queue->started += n;
			return;
		}
		n -= left;
		queue->begin += length;
		queue->started = 0;
	}
	line_queue_free_if_empty(queue);
}

size_t line_queue_drop(struct line_queue *queue, size_t n)
{
	const size_t kept = queue->started ? line_queue_measure(queue, queue->begin) : 0;
	size_t at = queue->begin + kept, lines = 0;

	for (; at < queue->whole && n; lines++) {
		const size_t length = line_queue_measure(queue, at);

		at += length;
		n -= length < n ? length : n;
	}
	if (n && at < queue->end) { /* an unfinished line is left */
		at = queue->whole = queue->end;
		lines++;
	}
	if (kept)
		memmove(queue->text + at - kept, queue->text + queue->begin, kept);
	queue->begin = at - kept;
	line_queue_free_if_empty(queue);
	return lines;
}
