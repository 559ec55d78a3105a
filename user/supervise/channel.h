/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The channel that Node's child_process.fork() gives a child (process.send(), "message" events),
 * and that PM2 uses as well: a socket pair for each worker, with one JSON value a line
 * (NODE_CHANNEL_SERIALIZATION_MODE=json). The supervisor has the parent's end. The log process
 * (log_link.h) keeps that end open as well, so that the channel survives the supervisor: the next
 * one takes it over from there. The worker never has it.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"

struct channel;

/* The worker has sent @text: a JSON string, or {"type": @text}, or {"type": "process:msg", "data":
 * @text}. Other messages are ignored, and lines of more than 64 KiB. May free the channel. */
typedef void (*channel_message)(const char *text, void *data);

/* @fd is the parent's end of the channel of the worker SLOT-NUMBER. The callee closes it. */
typedef void (*channel_found)(unsigned int slot, unsigned int number, int fd, void *data);

/* Creates the channel of the worker SLOT-NUMBER. @ret_worker_fd: the worker's end, close-on-exec;
 * the caller closes it when the worker has been started. */
int channel_new(sd_event *loop, unsigned int slot, unsigned int number, channel_message message,
                void *data, struct channel **ret, int *ret_worker_fd, struct error *err);

/* Opens a channel with the parent's end @fd. Takes over @fd, also on failure. */
int channel_open(sd_event *loop, int fd, channel_message message, void *data, struct channel **ret,
                 struct error *err);

/* Finds the parents' ends that process @pid has open, and duplicates them. They are known by their
 * names: the process must be one of ours. */
void channel_list(uint32_t pid, channel_found found, void *data);

/* The parent's end. */
int channel_fd(const struct channel *channel);

/* Sends a string, at once or not at all. -EPIPE if the worker has closed its end, -EAGAIN if it
 * reads nothing, -EMSGSIZE if the string is longer than some 250 bytes. */
int channel_send(struct channel *channel, const char *text);

/* Reads what the worker has sent, when it has ended. May free the channel. */
void channel_read_rest(struct channel *channel);

/* Does not close the channel for good: log_link.h has its end open, too. */
void channel_free(struct channel *channel);
