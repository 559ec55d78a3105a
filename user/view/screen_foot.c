/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/screen_foot.h"

#include <string.h>

#include "base/cleanup.h"

#define BLANKS " \n"

/* How many bytes of @text go into a line: broken at a blank if there is one. */
static size_t screen_foot_wrap(const char *text, size_t width)
{
	size_t n = strlen(text), at = width;

	if (n <= width)
		return n;
	while (at > 0 && !strchr(BLANKS, text[at]))
		at--;
	return at > 0 ? at : width;
}

static const char *screen_foot_next_line(const char *text, size_t width)
{
	text += screen_foot_wrap(text, width);
	return text + strspn(text, BLANKS);
}

static unsigned int screen_foot_count_text(const char *text, size_t width)
{
	unsigned int n = 0;

	for (; *text; text = screen_foot_next_line(text, width))
		n++;
	return n;
}

static void screen_foot_draw_message(struct screen_pen *pen, const char *text)
{
	for (; *text; text = screen_foot_next_line(text, pen->columns)) {
		screen_pen_begin_line(pen);
		screen_pen_style(pen, SCREEN_PEN_BOLD);
		screen_pen_print(pen, "%.*s", (int)screen_foot_wrap(text, pen->columns), text);
		screen_pen_style(pen, SCREEN_PEN_PLAIN);
		screen_pen_end_line(pen);
	}
}

unsigned int screen_foot_count_lines(const struct screen *screen)
{
	return screen->message ? screen_foot_count_text(screen->message, screen->columns) : 1;
}

void screen_foot_draw(struct screen_pen *pen, const struct screen *screen, const char *keys)
{
	if (screen->message) {
		screen_foot_draw_message(pen, screen->message);
		return;
	}
	screen_pen_begin_line(pen);
	screen_pen_print(pen, "%s", keys);
	screen_pen_end_line(pen);
}

void screen_foot_draw_help(struct screen_pen *pen, size_t lines)
{
	static const struct {
		const char *keys, *what;
	} help[] = {
	        {"KEYS", ""},
	        {"up, down, k, j", "select the line above or below"},
	        {"PgUp, PgDn", "select a line one page up or down"},
	        {"Home, End, g, G", "select the first or the last line"},
	        {"d", "drain the selected worker: it gets no new connection"},
	        {"R, u", "resume the selected worker"},
	        {"s", "sort by the next column"},
	        {"r", "reverse the order"},
	        {"v", "show only the workers of the next version, at last all"},
	        {"n, Tab", "show the next service"},
	        {"l", "list the services"},
	        {"Enter", "show the service that is selected in the list"},
	        {"?", "show or leave this help"},
	        {"q, Ctrl-C", "quit"},
	};

	for (size_t i = 0; i < lines; i++) {
		screen_pen_begin_line(pen);
		if (i < ARRAY_SIZE(help))
			screen_pen_print(pen, "%-16s %s", help[i].keys, help[i].what);
		screen_pen_end_line(pen);
	}
}
