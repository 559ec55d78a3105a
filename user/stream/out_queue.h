/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines on their way to our standard output, or error, whatever that is (file, pipe, socket,
 * terminal), without ever waiting for it. Lines of up to PIPE_BUF bytes go into a pipe, or a
 * socket, whole or not at all, so that one is there whole even if we are killed. Where both are the
 * same, lines of one queue are never within one of the other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct out_queue;

/* @fd: where to, STDOUT_FILENO or STDERR_FILENO. A file that ends within a line gets the end of
 * that first. @drained: is called when it can go on after it had to wait. Returns 0 or a negative
 * errno. */
int out_queue_new(sd_event *loop, int fd, void (*drained)(void *data), void *data,
                  struct out_queue **ret);

/* A line, with @prefix (without an end of line in it, or NULL) before it, and an end if it has
 * none. Returns false, and nothing of it is in the queue, if there is no memory. */
bool out_queue_add(struct out_queue *queue, const char *prefix, const char *line, size_t n);

/* Bytes, of what was added since it was last empty. */
size_t out_queue_length(const struct out_queue *queue);

/* Writes what can be written now. Returns whether nothing is left. Where it can't be written
 * (nobody reads any more, the disk is full) it is dropped, as it would be if the worker wrote
 * there. */
bool out_queue_flush(struct out_queue *queue);

/* Whole lines, of what was added since it was last empty, that have been written: how many, and how
 * many bytes, with their prefixes, they are. @ret_cut: part of the next one has been written too.
 */
size_t out_queue_written(const struct out_queue *queue, size_t *ret_lines, bool *ret_cut);

/* Drops what is in it, but for the rest of a line that has been begun. */
void out_queue_drop(struct out_queue *queue);

void out_queue_free(struct out_queue *queue);
