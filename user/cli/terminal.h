/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terminal on stdin and stdout as a screen: keys come one by one and unseen, and what was on it
 * before is there again in the end.
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
	KEY_NONE = -1, /* nothing was typed */
	KEY_GONE = -2, /* the terminal is */
	KEY_UP = 256,
	KEY_DOWN,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_HOME,
	KEY_END,
	KEY_UNKNOWN,
};

/* Whether stdin and stdout are a terminal that can be drawn on; else error_usage(). */
int terminal_check(struct error *err);

int terminal_enter(struct terminal *terminal, struct error *err);

/* As it was before terminal_enter(). May be called again, or without. */
void terminal_leave(struct terminal *terminal);

void terminal_size(unsigned int *ret_rows, unsigned int *ret_columns);

void terminal_clear(const struct terminal *terminal);

/* Whether it is to get UTF-8. */
bool terminal_is_utf8(void);

/* Gives up on a terminal that takes nothing, as when a connection hangs: nobody sees it then. That
 * it is gone is for terminal_key() to tell. */
void terminal_write(const struct terminal *terminal, const char *text, size_t n);

/* The next key; doesn't wait for one. What comes behind it is left for whoever reads next. */
int terminal_key(void);
