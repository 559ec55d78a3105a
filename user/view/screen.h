/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The live view: the status view drawn as one full screen of a terminal. Pure: how large the
 * terminal is, what it can show and what the user chose are all in struct screen.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

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
	bool utf8;             /* bars of block characters, not of '#' */
	enum screen_sort sort; /* slots from the first on, all else from the largest on */
	bool reversed;
	int selected;        /* a slot, wherever it is in the order, or SCREEN_NO_SLOT */
	size_t first;        /* the worker in the first line, in the order of the sort */
	size_t page;         /* how many workers fit; set by screen_draw() */
	const char *note;    /* on the numbers, or NULL */
	const char *message; /* in place of the keys, or NULL */
};

/* Writes the screen, from its upper left corner on and over what was there, and scrolls so that the
 * selected worker is seen. No line is longer than the screen is wide. */
void screen_draw(FILE *out, struct json_object *status, struct screen *screen);

/* Moves the selection by so many workers in the order of the sort, as far as there are any. If none
 * was selected it begins with the first that is shown. */
void screen_move(struct json_object *status, struct screen *screen, long by);
