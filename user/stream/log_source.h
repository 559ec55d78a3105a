/* SPDX-License-Identifier: BSD-2-Clause */
/* One stream of a worker: a FIFO that the log process reads, and the lines that were not written
 * yet. */
#pragma once

#include <sys/types.h>

#include "stream/log_types.h"

/* Starts to read @fd, and takes it over unless it fails. Returns 0 or a negative errno. */
int log_source_open(struct log_source *source, int fd);

/* Adds text to the queue, and drops the oldest lines of the service if that is too much. */
void log_source_add(struct log_source *source, const char *text, size_t n);

/* The same with lines that the log process before us has read. */
void log_source_restore(struct log_source *source, const char *text, size_t n);

/* Reads what the FIFO has now. */
void log_source_read_all(struct log_source *source);

/* Ends reading: an unfinished last line is a line now. */
void log_source_end(struct log_source *source);

/* Takes out what was written. */
void log_source_written(struct log_source *source, size_t n);

/* Whether it has ended, and all its lines have been written. */
bool log_source_is_done(const struct log_source *source);

/* Closes it, and drops its lines. */
void log_source_free(struct log_source *source);
