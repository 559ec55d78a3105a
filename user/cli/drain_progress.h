/* SPDX-License-Identifier: BSD-2-Clause */
/* The progress of `drain --wait` on standard error: a bar on a terminal, else a line for each
 * change, at most one a second. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "service/drain_wait.h"

struct drain_progress {
	bool terminal;
	uint64_t most;    /* the largest number of connections that was left at any time */
	double printed_s; /* when the last line was printed, in seconds of waiting; -1 = none was */
	uint64_t printed; /* the number of connections in that line */
};

void drain_progress_begin(struct drain_progress *progress);

/* The progress function of a drain_wait_request; @data is the struct drain_progress. */
void drain_progress_print(const struct drain_wait_left *left, double seconds, void *data);

/* Erases the bar. */
void drain_progress_end(const struct drain_progress *progress);
