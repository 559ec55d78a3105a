/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "view/screen_pen.h"

#include <stdarg.h>
#include <string.h>

#define SCREEN_PEN_TEXT_MAX 1024

static bool screen_pen_is_off_screen(const struct screen_pen *pen)
{
	return pen->row > pen->rows;
}

void screen_pen_begin_line(struct screen_pen *pen)
{
	if (++pen->row > 1 && !screen_pen_is_off_screen(pen))
		fputs("\r\n", pen->out);
	pen->left = pen->columns;
}

/* At the right margin the cursor stays on the last character, which the sequence would erase. */
void screen_pen_end_line(struct screen_pen *pen)
{
	if (pen->left > 0 && !screen_pen_is_off_screen(pen))
		fputs("\033[K", pen->out);
}

void screen_pen_style(struct screen_pen *pen, const char *style)
{
	if (!screen_pen_is_off_screen(pen))
		fputs(style, pen->out);
}

void screen_pen_colour(struct screen_pen *pen, const char *style)
{
	if (pen->colour)
		screen_pen_style(pen, style);
}

void screen_pen_print(struct screen_pen *pen, const char *format, ...)
{
	char text[SCREEN_PEN_TEXT_MAX];
	unsigned int n;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n = strlen(text);
	if (n > pen->left)
		n = pen->left;
	for (unsigned int i = 0; i < n && !screen_pen_is_off_screen(pen); i++)
		fputc((unsigned char)text[i] < ' ' ? ' ' : text[i], pen->out);
	pen->left -= n;
}

void screen_pen_bar(struct screen_pen *pen, int width, double part, bool utf8)
{
	int unit = utf8 ? 8 : 1;
	int units = (int)(part * width * unit + 0.5);

	if (units == 0 && part > 0)
		units = 1;
	for (int i = 0; i < width && pen->left > 0; i++, pen->left--, units -= unit) {
		if (screen_pen_is_off_screen(pen))
			continue;
		if (units <= 0)
			fputc(' ', pen->out);
		else if (utf8) /* U+2588 full block to U+258F, an eighth of it */
			fprintf(pen->out, "\xe2\x96%c", units >= 8 ? 0x88 : 0x90 - units);
		else
			fputc('#', pen->out);
	}
}
