/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes lines to a terminal and cuts what does not fit on its screen. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#define SCREEN_PEN_BOLD      "\033[1m"
#define SCREEN_PEN_UNDERLINE "\033[4m"
#define SCREEN_PEN_REVERSE   "\033[7m"
#define SCREEN_PEN_PLAIN     "\033[0m"

struct screen_pen {
	FILE *out;
	unsigned int rows, columns; /* of the screen */
	unsigned int row;           /* the current line, from 1 on; 0 = none yet */
	unsigned int left;          /* free columns of the current line */
	bool colour;                /* screen_pen_colour() has an effect */
};

void screen_pen_begin_line(struct screen_pen *pen);

/* Erases the rest of the line's old text. */
void screen_pen_end_line(struct screen_pen *pen);

/* Writes one of SCREEN_PEN_*, or another escape sequence that takes no column. */
void screen_pen_style(struct screen_pen *pen, const char *style);

/* The same for a colour. */
void screen_pen_colour(struct screen_pen *pen, const char *style);

/* Writes ASCII text. Line ends in it become spaces. */
void screen_pen_print(struct screen_pen *pen, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Draws a bar of @width columns and fills @part of it, from 0 to 1. A part above 0 is always
 * visible.
 * @utf8: with block characters, not with '#'. */
void screen_pen_bar(struct screen_pen *pen, int width, double part, bool utf8);
