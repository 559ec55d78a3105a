/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines on their way to our standard output or standard error, whatever that is (file, pipe,
 * socket, terminal), without ever waiting for it. Lines of up to PIPE_BUF bytes go into a pipe or a
 * socket as a whole or not at all, even if we are killed. If both are the same file or pipe, no
 * line of one queue is written within a line of the other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct out_queue;

/* Makes a queue to @fd, STDOUT_FILENO or STDERR_FILENO. If @fd is a file that ends within a line,
 * that line is ended first. @drained: called when writing can go on after a wait. Returns 0 or a
 * negative errno. */
int out_queue_new(sd_event *loop, int fd, void (*drained)(void *data), void *data,
                  struct out_queue **ret);

/* Adds a line: @prefix (without an end of line; may be NULL), @line, and an end of line if it has
 * none. Returns false, with the queue unchanged, if memory is short. */
bool out_queue_add(struct out_queue *queue, const char *prefix, const char *line, size_t n);

/* The number of bytes that were added since the queue was last empty. */
size_t out_queue_length(const struct out_queue *queue);

/* Writes as much as is accepted now. Returns whether the queue is empty. If writing fails (no
 * reader any more, the disk is full) the rest is dropped, as it would be if the worker wrote
 * itself. */
bool out_queue_flush(struct out_queue *queue);

/* Counts the whole lines that have been written since the queue was last empty. Returns their
 * bytes, with prefixes, and sets *ret_lines to their number. *ret_cut: the next line was written in
 * part. */
size_t out_queue_written(const struct out_queue *queue, size_t *ret_lines, bool *ret_cut);

/* Drops the rest of the queue, except the rest of a line that was written in part. */
void out_queue_drop(struct out_queue *queue);

void out_queue_free(struct out_queue *queue);
