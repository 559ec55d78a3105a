/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads what a log process writes, and knows the lines of each writer that must come. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "beds/output_bed.h"

struct line_reader {
	int fd;
	int next[OUTPUT_BED_WRITERS];   /* the line that must come */
	int beyond[OUTPUT_BED_WRITERS]; /* the line after the last that has come */
	int repeated;                   /* lines that came a second time */
	int cut;                        /* beginnings of lines that must come */
	int bad;                        /* other lines, also those that come too early */
	char first_bad[1024];
	size_t n; /* bytes of text */
	char text[65536 + 4096];
};

/* Reads at most @max bytes of what comes within @ms milliseconds. Returns false if nothing came. */
bool line_reader_read_some(struct line_reader *r, size_t max, int ms);

/* Different lines that have come. */
int line_reader_count(const struct line_reader *r);

/* Reads, @at_once bytes at a time, until @n different lines have come. Returns false if they do not
 * come, or a bad line does. */
bool line_reader_read(struct line_reader *r, int n, size_t at_once);

/* Whether each line came once, whole, and nothing else came. */
bool line_reader_is_exact(const struct line_reader *r);

/* Whether the next bytes from @fd are this text. */
bool line_reader_text_comes(int fd, const char *expected);
