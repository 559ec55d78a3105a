/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bed of the checks of the log process: the FIFOs of workers, writers, which print lines that
 * show when a byte is missing, and the log process itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "stream/log_message.h"

#define OUTPUT_BED_WRITERS   4
#define OUTPUT_BED_LINE_MAX  512
#define OUTPUT_BED_SLOW_PIPE 4096
#define OUTPUT_BED_LINES     25000 /* of each writer, in cases with many lines */

/* Shared with all children. */
extern struct output_bed {
	int n_workers;
	/* Set before a writer starts: */
	int first, n_lines;
} * output_bed;

/* Makes the bed of the case, or clears it: with the FIFOs of @n_workers, which no process has open.
 */
void output_bed_begin(int n_workers);

/* Opens a FIFO of a worker as a worker has it. @stream: 0 for its standard output, 1 for its
 * standard error. */
int output_bed_open(int number, int stream);

/* Whether the FIFOs of a worker exist. */
bool output_bed_exists(int number);

/* Makes line @n of a writer. Returns its length. */
size_t output_bed_line(char line[OUTPUT_BED_LINE_MAX], int writer, int n);

/* Prints the lines of a writer: what its process does. Some lines take two writes. */
void output_bed_writer(int number);

/* Starts writers of all workers, of @n_lines lines each, as children 0 .. n_workers - 1 if they are
 * the first. Each has its FIFO open when this returns. */
void output_bed_start_writers(int n_lines);

/* Starts a log process with these standard streams, and gives it the workers. The lines of worker N
 * begin with "svc.N | ". The caller kills or awaits it. */
pid_t output_bed_start_log(int out, int errors);

/* The supervisor's end of the socket of the last log process. */
int output_bed_link(void);

/* Closes it, as a supervisor that has ended. */
void output_bed_close_link(void);

void output_bed_note_gone(int number);

/* Whether the log process answers that these are the worker's last lines. */
bool output_bed_tail_is(int number, const char *expected);
