/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The channel that Node's child_process.fork() gives a child (process.send(), "message" events),
 * and that PM2 uses as well: a socket pair for each worker, with one JSON value a line
 * (NODE_CHANNEL_SERIALIZATION_MODE=json). The supervisor has the parent's end. The worker keeps a
 * copy of that end open, so that the channel survives the supervisor: the next one borrows it from
 * the worker.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"

struct channel;

/* The worker has sent @text: a JSON string, or {"type": @text}, or {"type": "process:msg", "data":
 * @text}. Other messages are ignored, and lines of more than 64 KiB. May free the channel. */
typedef void (*channel_message)(const char *text, void *data);

/* Creates a channel. @ret_worker_fd: the worker's end, close-on-exec; the caller closes it when the
 * worker has been started. */
int channel_new(sd_event *loop, channel_message message, void *data, struct channel **ret,
                int *ret_worker_fd, struct error *err);

/* Borrows the parent's end, which is descriptor @fd of process @pid. -EBADF if the process has
 * closed it, even if @fd is another file now; else fails as proc_duplicate_fd(). */
int channel_take_over(sd_event *loop, uint32_t pid, int fd, channel_message message, void *data,
                      struct channel **ret, struct error *err);

/* The parent's end, to be passed to the worker as well. */
int channel_fd(const struct channel *channel);

/* Sends a string, at once or not at all. -EPIPE if the worker has closed its end, -EAGAIN if it
 * reads nothing, -EMSGSIZE if the string is longer than some 250 bytes. */
int channel_send(struct channel *channel, const char *text);

/* Reads what the worker has sent, when it has ended. May free the channel. */
void channel_read_rest(struct channel *channel);

void channel_free(struct channel *channel);
