/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker has printed on one of its streams and has not been written yet. Whole lines are
 * taken out in their order; the last line may be unfinished. A zeroed queue is empty. An empty
 * queue takes no memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define LINE_QUEUE_LINE_MAX 65536 /* bytes, without the end of line; a longer line is split */

struct line_queue {
	char *text;
	size_t begin, end, room;
	size_t whole;   /* the lines up to here are whole */
	size_t started; /* bytes of the first line, with its prefix, that were written already */
};

/* Appends text, of any number of lines. Returns false, with the queue unchanged, if memory is
 * short. */
bool line_queue_add(struct line_queue *queue, const char *text, size_t n);

/* Ends an unfinished last line: nothing will be appended to it. */
void line_queue_end_line(struct line_queue *queue);

/* The number of bytes in the queue. */
size_t line_queue_length(const struct line_queue *queue);

bool line_queue_has_line(const struct line_queue *queue);

/* Copies whole lines to @ret, each after @prefix, as many as @max bytes have room for; of a first
 * line that is longer than that, its beginning. What was written of the first line is left out.
 * Returns the number of bytes. */
size_t line_queue_copy(const struct line_queue *queue, const char *prefix, size_t max, char *ret);

/* Removes the first @n bytes of what line_queue_copy() copies with this @prefix: they were written.
 */
void line_queue_written(struct line_queue *queue, const char *prefix, size_t n);

/* Drops the oldest lines, @n bytes or a little more, but not a line that was written in part.
 * Returns the number of lines. */
size_t line_queue_drop(struct line_queue *queue, size_t n);

/* The number of lines, an unfinished one included. */
size_t line_queue_count(const char *text, size_t n);

void line_queue_free(struct line_queue *queue);
