/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds a worker that keeps the pipe of its output locked: the log process, which writes the lines
 * of all workers, waits as long (struct log_message_watch). */
#pragma once

#include "supervise/types.h"

/* The descriptor for the log process, which stays ours; or -1. */
int log_watch_fd(struct supervisor *sup);

/* A log process has been started. */
void log_watch_begin(struct supervisor *sup, uint32_t pid);

/* To be called every second. Returns the number of that worker, or 0. */
uint32_t log_watch_check(struct supervisor *sup);

void log_watch_close(struct supervisor *sup);
