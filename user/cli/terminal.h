/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terminal on stdin and stdout as a screen. Keys are read one at a time and are not echoed, and
 * the old contents of the screen are restored at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#include "base/error.h"

struct terminal {
	struct termios before;
	bool entered;
	int out; /* -1 = not open */
};

#define TERMINAL_NONE ((struct terminal){.out = -1})

/* A key is its character, or one of these. */
enum terminal_key {
	KEY_NONE = -1, /* no key was pressed */
	KEY_GONE = -2, /* the terminal is closed */
	KEY_UP = 256,
	KEY_DOWN,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_HOME,
	KEY_END,
	KEY_UNKNOWN,
};

/* Checks that stdin and stdout are a terminal that can be drawn on. Returns 0 or error_usage(). */
int terminal_check(struct error *err);

/* Saves the terminal's settings and switches to an empty screen. */
int terminal_enter(struct terminal *terminal, struct error *err);

/* Restores the settings and the screen of before terminal_enter(). Without that, or a second time,
 * it does nothing. */
void terminal_leave(struct terminal *terminal);

/* The size in characters; 24 rows and 80 columns if the terminal does not know it. */
void terminal_size(unsigned int *ret_rows, unsigned int *ret_columns);

void terminal_clear(const struct terminal *terminal);

/* Whether the locale's encoding is UTF-8. It is in force afterwards. */
bool terminal_is_utf8(void);

/* How many bytes of @text, which is in the locale's encoding, fit into that many columns. */
size_t terminal_fit(const char *text, unsigned int columns);

/* Whether the user wants colours: NO_COLOR is not set (no-color.org). */
bool terminal_has_colour(void);

/* Writes text. If the terminal accepts nothing for a while, for example because a connection hangs,
 * the rest is lost. A closed terminal is reported by terminal_key(). */
void terminal_write(const struct terminal *terminal, const char *text, size_t n);

/* Returns the next key without waiting for one. Later keys stay in the terminal's queue. */
int terminal_key(void);
