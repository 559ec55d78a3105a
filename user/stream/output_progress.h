/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far the file of a worker's output has been written to our standard output. The position is
 * kept with the file itself, so that the next supervisor continues there; what is before it is
 * freed. For output.c only.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct output_progress {
	int read_fd, write_fd; /* the file */
	off_t at;              /* written up to here */
	off_t punched;         /* freed up to here */
	bool cut;              /* part of the line at @at has been written */
	const char *attribute; /* its name; NULL = the file system can't store the position */
};

/* Stores the position, and frees what is before it. To be called after that was written: if we are
 * killed in between, the next supervisor writes those lines again. Twice is better than never. */
void output_progress_store(struct output_progress *p, off_t at, bool cut);

/* Finds the position of an earlier supervisor, or 0. @size: of the file. */
void output_progress_find(struct output_progress *p, off_t size);
