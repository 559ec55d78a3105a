/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/memory.h"

#define JSON_TEXT_PIECE_MAX 8
#define REPLACEMENT         0xfffd

/* json-c has escaped what is below the blank. All other characters to be escaped are in strings. */
static size_t json_text_piece(const char **at, char piece[JSON_TEXT_PIECE_MAX])
{
	uint32_t c;
	const size_t n = escape_read(*at, &c);
	const char *from = *at;

	*at += n;
	if (c == '\n' || !escape_is_control(c)) {
		memcpy(piece, from, n);
		return n;
	}
	return (size_t)sprintf(piece, "\\u%04x",
	                       (unsigned int)(c == ESCAPE_NO_CHARACTER ? REPLACEMENT : c) & 0xffff);
}

char *json_text_new(struct json_object *object, int flags)
{
	const char *text = memory_need((char *)json_object_to_json_string_ext(object, flags));
	char piece[JSON_TEXT_PIECE_MAX], *copy, *to;
	size_t n = 1;

	for (const char *at = text; *at;)
		n += json_text_piece(&at, piece);
	copy = to = memory_need(malloc(n));
	for (const char *at = text; *at;) {
		const size_t length = json_text_piece(&at, piece);

		memcpy(to, piece, length);
		to += length;
	}
	*to = '\0';
	return copy;
}
