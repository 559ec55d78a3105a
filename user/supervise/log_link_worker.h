/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers that a log process knows or is to know, as its supervisor has them (log_link.h). */
#pragma once

#include "stream/log_message.h"
#include "supervise/types.h"

/* A worker with FIFOs that the log process reads, or is to read. */
struct log_link_worker {
	struct log_link_worker *next;
	struct plan *plan;
	unsigned int slot, number;
	int fds[LOG_MESSAGE_FDS];
	bool sent; /* to the log process that runs now */
	bool gone;
};

/* Adds a worker, and takes its descriptors over. @channel: or -1. NULL if memory is short. */
struct log_link_worker *log_link_worker_add(struct log_link_worker **list, struct plan *plan,
                                            unsigned int slot, unsigned int number,
                                            const int fds[2], int channel);

/* NULL if there is none. */
struct log_link_worker *log_link_worker_find(struct log_link_worker *list, unsigned int slot,
                                             unsigned int number);

/* Takes the worker out of its list, closes its descriptors and frees it. @at: what refers to it. */
void log_link_worker_free(struct log_link_worker **at);

/* Sends what the log process, at the other end of @fd, doesn't know yet of the worker. Returns 0 or
 * a negative errno. */
int log_link_worker_send(struct log_link_worker *it, int fd, const char *service);
