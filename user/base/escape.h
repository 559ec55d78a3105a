/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text of others on its way to a person: names of processes and files, what workers have printed,
 * answers of probes. A terminal obeys control characters, so these are shown as \x1b and the like,
 * as are bytes that are not UTF-8, and the characters that change the direction of text.
 *
 * It is applied where text leaves us: log.c, the views' text, and the errors of commands. What
 * workers print themselves is passed on unchanged.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum escape {
	ESCAPE_LINE,  /* an end of line is escaped as well */
	ESCAPE_LINES, /* ends of lines and tabs stay. Lines after the first one are indented, so
	                 that no text can look like another message. */
};

/* Reads the character at @text, which must not be the end. Returns the number of its bytes, and
 * sets *ret; for a byte that is not UTF-8 it returns 1 and sets ESCAPE_NO_CHARACTER. */
#define ESCAPE_NO_CHARACTER UINT32_MAX
size_t escape_read(const char *text, uint32_t *ret);

/* Whether the character is escaped for a terminal. */
bool escape_is_control(uint32_t character);

/* Writes the escaped text to @buf, of @size bytes, cut after a whole character if it is too long.
 * Returns the length of the whole escaped text, as snprintf() does. */
size_t escape_text(char *buf, size_t size, const char *text, enum escape how);

/* The escaped text, for free(). NULL if memory is short. */
char *escape_new(const char *text, enum escape how);

/* Prints a message as ESCAPE_LINES, and an end of line. */
void escape_print_line(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
