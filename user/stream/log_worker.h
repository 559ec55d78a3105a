/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers of the log process: it reads their streams. */
#pragma once

#include "stream/log_types.h"

/* Adds a worker. NULL if memory is short. */
struct log_worker *log_worker_new(struct log_process *log, const struct log_message *message);

/* Starts to read its FIFOs, and takes them and its channel over. May free the worker. */
void log_worker_open(struct log_worker *worker, const int fds[LOG_MESSAGE_FDS]);

/* NULL if there is none. */
struct log_worker *log_worker_find(struct log_process *log, uint32_t slot, uint32_t number);

/* All processes of the worker have ended: what its FIFOs have now is the end, even if another
 * process has them open. May free the worker. */
void log_worker_end(struct log_worker *worker);

/* Adds whole lines to the text that log_worker_tail() returns. */
void log_worker_add_tail(struct log_worker *worker, const char *text, size_t n);

/* The same with lines that are new, and that also go to the file for both streams. */
void log_worker_add_lines(struct log_worker *worker, const char *text, size_t n);

/* Reads what the FIFOs have now, and copies the last lines: whole ones, and the beginnings of
 * unfinished ones. */
void log_worker_tail(struct log_worker *worker, char ret[LOG_MESSAGE_TAIL_MAX]);

/* If its streams and its channel have ended, all lines have been written, and the supervisor has no
 * use for it, removes the FIFOs and frees the worker. */
void log_worker_check_end(struct log_worker *worker);

/* Removes the FIFOs, and frees the worker with its lines. */
void log_worker_drop(struct log_worker *worker);
