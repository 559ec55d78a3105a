/* SPDX-License-Identifier: BSD-2-Clause */
/* What is on its way to our standard output, whatever that is, without ever waiting for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct out_queue;

/* @drained: is called when all has gone that once had to wait. */
int out_queue_new(sd_event *loop, void (*drained)(void *data), void *data, struct out_queue **ret);

/* What there is no memory for is dropped. */
void out_queue_add(struct out_queue *queue, const char *text, size_t n);

/* Writes what can be written now. Returns whether nothing is left. Where nobody reads any more
 * (EPIPE) it is dropped. */
bool out_queue_flush(struct out_queue *queue);

/* Waits until all is written, or nobody reads any more. */
void out_queue_free(struct out_queue *queue);
