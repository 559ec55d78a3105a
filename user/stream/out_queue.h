/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines on their way to our standard error, without ever waiting for it (out_stream.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct out_queue;

/* Makes a queue to @fd. If @fd is a file that ends within a line, that line is ended first.
 * @drained: called when writing can go on after a wait. Returns 0 or a negative errno. */
int out_queue_new(sd_event *loop, int fd, void (*drained)(void *data), void *data,
                  struct out_queue **ret);

/* Adds a line, and an end of line if it has none. Returns false, with the queue unchanged, if
 * memory is short. */
bool out_queue_add(struct out_queue *queue, const char *line, size_t n);

/* The number of bytes that were added since the queue was last empty. */
size_t out_queue_length(const struct out_queue *queue);

/* Writes as much as is accepted now. Returns whether the queue is empty. If writing fails (no
 * reader any more, the disk is full) the rest is dropped. */
bool out_queue_flush(struct out_queue *queue);

void out_queue_free(struct out_queue *queue);
