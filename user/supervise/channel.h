/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The channel between Node's child_process.fork() and its child (process.send(), "message" events),
 * of which we are the parent's end: a socket pair for each worker, on which each line is a JSON
 * value (NODE_CHANNEL_SERIALIZATION_MODE=json). PM2 talks to its workers by it. The worker also has
 * our end of it open, as a descriptor that it doesn't know of, so that the channel doesn't break
 * when we die: the next supervisor takes it back from there.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"

struct channel;

/* The worker sent @text: a JSON string, or {"type": @text}, or {"type": "process:msg", "data":
 * @text}. What else it sends is ignored, as is a line of more than 1 MiB. The channel may be freed
 * here. */
typedef void (*channel_message)(const char *text, void *data);

/* @ret_worker_fd: the worker's end, close-on-exec; the caller closes it after the worker was
 * started. */
int channel_new(sd_event *loop, channel_message message, void *data, struct channel **ret,
                int *ret_worker_fd, struct error *err);

/* Takes back our end, its descriptor @fd, from process @pid. -EBADF if it has closed it, whatever
 * it has opened there since; else as proc_duplicate_fd(). */
int channel_adopt(sd_event *loop, uint32_t pid, int fd, channel_message message, void *data,
                  struct channel **ret, struct error *err);

/* Our end, for the worker to be given as well. */
int channel_fd(const struct channel *channel);

/* Sends a string, at once or not at all. -EPIPE if the worker has closed its end, -EAGAIN if it
 * reads nothing, -EMSGSIZE if the string is longer than some 250 bytes. */
int channel_send(struct channel *channel, const char *text);

void channel_free(struct channel *channel);
