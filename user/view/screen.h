/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The screen of `top`: draws a status view on a whole terminal. Pure: the size of the terminal,
 * what it can show and what the user chose are all in struct screen.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <reuseportd/abi.h>

enum screen_sort {
	SCREEN_BY_SLOT,
	SCREEN_BY_SHARE,
	SCREEN_BY_RATE,
	SCREEN_BY_ACTIVE,
	SCREEN_BY_QUEUE,
	SCREEN_SORT_MAX,
};

#define SCREEN_NO_SLOT (-1)

struct screen {
	unsigned int rows, columns;
	bool utf8;                       /* draw bars with block characters, not with '#' */
	enum screen_sort sort;           /* slots in ascending order, numbers in descending order */
	bool reversed, help;             /* show the help in place of the workers */
	bool colour;                     /* the terminal may show colours */
	char version[4 * RPD_LABEL_MAX]; /* show only workers of this version; "" = all */
	int selected;                    /* the slot of the selected worker, or SCREEN_NO_SLOT */
	size_t first;        /* the worker in the first line, in the order of the sort */
	size_t page;         /* how many workers fit; set by screen_draw() */
	const char *note;    /* about the numbers, or NULL */
	const char *message; /* shown in place of the keys, or NULL */
};

/* Writes the screen over the old one, from the upper left corner on, and scrolls so that the
 * selected worker is visible. No line is longer than the screen is wide. */
void screen_draw(FILE *out, struct json_object *status, struct screen *screen);

/* Shows only the workers of the next version of @status; after the last one, those of all. No
 * worker stays selected: it may be hidden. */
void screen_next_version(struct json_object *status, struct screen *screen);

/* Moves the selection by @by workers in the order of the sort, at most to the first or last one.
 * Without a selection it begins at the first visible worker. */
void screen_move(struct json_object *status, struct screen *screen, long by);
