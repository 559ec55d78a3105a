/* SPDX-License-Identifier: BSD-2-Clause */
/* What the log process before ours has left in its file (log_state.h): rows, each with the lines of
 * one source. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "stream/log_types.h"

/* In place of a slot: */
#define LOG_STATE_NOTES    UINT32_MAX
#define LOG_STATE_RESTORED (UINT32_MAX - 1)

/* What the file has for each source, before its lines. */
struct log_state_row {
	uint32_t slot, number, stream;
	uint32_t length;
	uint64_t started;  /* struct line_queue */
	uint64_t dev, ino; /* of the target */
};

struct log_state {
	int fd;     /* locked */
	char *text; /* what the process before us has left, until all of it is restored */
	size_t n, n_restored;
};

/* Reads the row at @at. Returns false at the end, which may be that of a writer that was killed. */
bool log_state_row_get(const struct log_state *state, size_t at, struct log_state_row *ret);

/* Whether its first line, if it was written in part, goes on in this file. */
bool log_state_row_goes_on(const struct log_state_row *row, dev_t dev, ino_t ino);

/* Whether any line that is not restored yet was written in part into this file. */
bool log_state_row_has_begun(const struct log_state *state, dev_t dev, ino_t ino);
