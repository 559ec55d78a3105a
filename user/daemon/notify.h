/* SPDX-License-Identifier: BSD-2-Clause */
/* What workers tell us: sd_notify(3) datagrams, and messages on a Node channel. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"

/* --- sd_notify: one socket for all workers of a service. */
struct notify;

/* A worker, or a child of it, said READY=1. @pid: who. */
typedef void (*notify_ready)(uint32_t pid, void *data);

/* @path: of the socket, in place of one that is there; any user may write to it. */
int notify_new(sd_event *loop, const char *path, notify_ready ready, void *data,
               struct notify **ret, struct error *err);
void notify_free(struct notify *notify);

/* --- Node channel: one socket pair for each worker. Its protocol is a JSON value a line
 * (NODE_CHANNEL_SERIALIZATION_MODE=json). The worker also has our end of it open, as a descriptor
 * that it doesn't know of, so that the channel doesn't break when we die: the next supervisor takes
 * it back from there. */
struct channel;

/* The worker sent @text, a JSON string, or {"type": text} or {"type": "process:msg", "data": ...}.
 */
typedef void (*channel_message)(const char *text, void *data);

/* @ret_worker_fd: the worker's end, close-on-exec; the caller closes it after the worker was
 * started. */
int channel_new(sd_event *loop, channel_message message, void *data, struct channel **ret,
                int *ret_worker_fd, struct error *err);

/* Takes back our end, its descriptor @fd, from process @pid. -EBADF if it has closed it. */
int channel_adopt(sd_event *loop, uint32_t pid, int fd, channel_message message, void *data,
                  struct channel **ret, struct error *err);

/* Our end, for the worker to be given as well. */
int channel_fd(const struct channel *channel);

/* Sends a string. -EPIPE if the worker has closed its end, -EAGAIN if it reads nothing. */
int channel_send(struct channel *channel, const char *text);

void channel_free(struct channel *channel);
