/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that passes on the output of workers, as a supervisor does. It obeys the orders in the
 * output bed (output_bed.h). */
#pragma once

#include <stdbool.h>

/* What the process does. @fd: its standard output. It exits, so that leaks are found. */
__attribute__((noreturn)) void follower_run(int fd);

/* Waits until the follower's loop has run 20 times. Returns false if that takes too long. */
bool follower_ticks(void);

/* Waits for the tail of file 0. Returns whether it is this text. */
bool follower_tail_is(const char *expected);
