/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/escape.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* The longest piece: four bytes as \xNN. */
#define ESCAPE_PIECE_MAX 17

size_t escape_read(const char *text, uint32_t *ret)
{
	/* By the number of bytes: the bits of the first byte, and the least character. */
	static const struct {
		uint8_t mask, lead;
		uint32_t least;
	} forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	const unsigned char *at = (const unsigned char *)text;

	for (size_t n = 1; n <= 4; n++) {
		uint32_t c = at[0] & ~forms[n - 1].mask;
		size_t i = 1;

		if ((at[0] & forms[n - 1].mask) != forms[n - 1].lead)
			continue;
		for (; i < n && (at[i] & 0xc0) == 0x80; i++)
			c = c << 6 | (at[i] & 0x3f);
		if (i < n || c < forms[n - 1].least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			break;
		*ret = c;
		return n;
	}
	*ret = ESCAPE_NO_CHARACTER;
	return 1;
}

bool escape_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) ||      /* C0, DEL, C1 */
	       c == 0x61c || c == 0x200e || c == 0x200f || /* marks of direction */
	       (c >= 0x2028 && c <= 0x202e) || /* ends of lines, embeddings, overrides */
	       (c >= 0x2066 && c <= 0x2069) || /* isolates */
	       c == ESCAPE_NO_CHARACTER;
}

/* Writes one character, escaped if it must be. Returns its length. */
static size_t escape_piece(const char **at, enum escape how, char piece[ESCAPE_PIECE_MAX])
{
	uint32_t c;
	const size_t n = escape_read(*at, &c);
	const char *from = *at;

	*at += n;
	if (how == ESCAPE_LINES && c == '\t')
		return (size_t)sprintf(piece, "\t");
	if (how == ESCAPE_LINES && c == '\n')
		return (size_t)sprintf(piece, strchr("\n ", **at) ? "\n" : "\n  ");
	if (c == '\n' || c == '\r' || c == '\t')
		return (size_t)sprintf(piece, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	if (!escape_is_control(c)) {
		memcpy(piece, from, n);
		return n;
	}
	for (size_t i = 0; i < n; i++)
		sprintf(piece + 4 * i, "\\x%02x", (unsigned char)from[i]);
	return 4 * n;
}

size_t escape_text(char *buf, size_t size, const char *text, enum escape how)
{
	char piece[ESCAPE_PIECE_MAX];
	size_t total = 0, used = 0;

	while (*text) {
		const size_t n = escape_piece(&text, how, piece);

		if (used == total && used + n < size) {
			memcpy(buf + used, piece, n);
			used += n;
		}
		total += n;
	}
	if (size > 0)
		buf[used] = '\0';
	return total;
}

char *escape_new(const char *text, enum escape how)
{
	const size_t size = escape_text(NULL, 0, text, how) + 1;
	char *copy = malloc(size);

	if (copy)
		escape_text(copy, size, text, how);
	return copy;
}

void escape_print_line(FILE *out, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *escaped = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		text = NULL;
	else
		escaped = escape_new(text, ESCAPE_LINES);
	fprintf(out, "%s\n", escaped ? escaped : "out of memory");
}
