/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bed of the checks of stream/output: files of workers' output, in memory; writers, which
 * fill them with lines that show when a byte is missing; and the orders to the follower.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "stream/output.h"

#define OUTPUT_BED_WRITERS   4
#define OUTPUT_BED_LINE_MAX  512
#define OUTPUT_BED_PATH_MAX  128
#define OUTPUT_BED_SLOW_PIPE 4096
#define OUTPUT_BED_LINES     25000 /* of each writer, in cases with many lines */

/* Shared with all children. */
extern struct output_bed {
	/* Orders to the follower, and its answers (follower.h). */
	_Atomic int
	        ended; /* flush and free the output of this file, and remove the file; -1: none */
	_Atomic int tail;   /* put the tail of this file's output into text; -1: none */
	_Atomic bool stop;  /* flush and free all, and exit */
	_Atomic bool leave; /* free all without flushing, and exit */
	_Atomic unsigned int ticks;
	_Atomic int64_t longest_ns; /* between two ticks */
	char text[OUTPUT_TAIL_MAX];
	/* Set before the follower starts: */
	int n_files, cgroup;
	bool no_attributes; /* the file system has none */
	/* Set before a writer starts: */
	int first, n_lines;
} * output_bed;

/* Makes the bed of the case, or clears it: no file, no order. */
void output_bed_begin(void);

void output_bed_path(char path[OUTPUT_BED_PATH_MAX], int number);

/* Opens the file of a worker for appending. */
int output_bed_open(int number);

/* All 0 if the file does not exist. */
struct stat output_bed_stat(int number);

/* Appends text to the file of a worker. Returns whether all of it was written. */
bool output_bed_write(int number, const char *text);

/* Opens a log file, which has no name any more, to write and to read. */
void output_bed_log(int *ret_write, int *ret_read);

/* Makes line @n of a writer. Returns its length. */
size_t output_bed_line(char line[OUTPUT_BED_LINE_MAX], int writer, int n);

/* Writes the lines of a writer: what its process does. Some lines take two writes. */
void output_bed_writer(int number);

/* Starts @n writers of @n_lines lines each, as children 0 .. @n - 1 if they are the first. */
void output_bed_start_writers(int n, int n_lines);
