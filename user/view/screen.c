/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/screen.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json_read.h"
#include "view/deployment_view.h"
#include "view/screen_pen.h"
#include "view/screen_rows.h"
#include "view/screen_workers.h"
#include "view/status_view.h"

#define HEAD_LINES 5 /* above the workers */
#define FOOT_LINES 1 /* the keys */
#define BLANKS     " \n"

void screen_move(struct json_object *status, struct screen *screen, long by)
{
	_cleanup_free_ struct screen_row *rows = NULL;
	size_t n;
	long at;

	if (screen_rows_sort(status, screen, &rows, &n) < 0 || n == 0)
		return;
	at = screen_rows_find_selected(screen, rows, n);
	if (at < 0)
		at = by < 0 ? (long)screen->first + 1 : (long)screen->first - 1;
	at += by;
	if (at >= (long)n)
		at = n - 1;
	screen->selected = rows[at < 0 ? 0 : at].slot;
}

static void screen_draw_service(struct screen_pen *pen, struct json_object *status)
{
	const char *only = json_read_text(status, "only_version");

	screen_pen_begin_line(pen);
	screen_pen_style(pen, SCREEN_PEN_BOLD);
	screen_pen_print(pen, "%s", json_read_text(status, "service"));
	screen_pen_style(pen, SCREEN_PEN_PLAIN);
	screen_pen_print(pen, ": %zu of %zu workers take new connections, %s%s, ring of %.0f",
	                 status_view_count_taking(status), json_read_length(status, "workers"),
	                 json_read_text(status, "policy"),
	                 json_read_flag(status, "strict") ? ", strict" : "",
	                 json_read_real(json_read_value(status, "ring"), "length"));
	if (only)
		screen_pen_print(pen, ", only version %s", only);
	screen_pen_end_line(pen);
}

static void screen_draw_endpoints(struct screen_pen *pen, struct json_object *status)
{
	struct json_object *endpoints = json_read_value(status, "endpoints");

	screen_pen_begin_line(pen);
	screen_pen_print(pen, "endpoints");
	for (size_t i = 0; i < json_object_array_length(endpoints); i++)
		screen_pen_print(
		        pen, " %s",
		        json_read_text(json_object_array_get_idx(endpoints, i), "endpoint"));
	screen_pen_end_line(pen);
}

/* The sum over all workers with a known number. */
static void screen_print_sum(struct screen_pen *pen, struct json_object *status, const char *title,
                             const char *key, int decimals)
{
	struct json_object *workers = json_read_value(status, "workers");
	bool known = false;
	double sum = 0;

	for (size_t i = 0; i < json_object_array_length(workers); i++) {
		struct json_object *value =
		        json_read_value(json_object_array_get_idx(workers, i), key);

		known |= value != NULL;
		sum += json_object_get_double(value);
	}
	if (known)
		screen_pen_print(pen, "%s %.*f  ", title, decimals, sum);
	else
		screen_pen_print(pen, "%s -  ", title);
}

/* Only counters above 0 are shown. */
static void screen_draw_totals(struct screen_pen *pen, struct json_object *status)
{
	screen_pen_begin_line(pen);
	screen_print_sum(pen, status, "rate/s", "rate", 1);
	screen_print_sum(pen, status, "active", "active", 0);
	screen_print_sum(pen, status, "queue", "queued", 0);
	json_object_object_foreach(json_read_value(status, "counters"), name, count)
	{
		if (json_object_get_int64(count) > 0)
			screen_pen_print(pen, "%s %s  ", name, json_read_as_text(count));
	}
	screen_pen_end_line(pen);
}

/* How to read the numbers below. */
static void screen_draw_notes(struct screen_pen *pen, struct json_object *status,
                              const struct screen *screen, size_t n)
{
	size_t foreign = json_read_length(status, "foreign_listeners");
	const char *why = json_read_text(status, "not_counting");
	struct json_object *deployment = json_read_value(status, "deployment");
	char text[128];

	screen_pen_begin_line(pen);
	if (deployment)
		screen_pen_print(pen, "%s  ",
		                 deployment_view_format(deployment, text, sizeof(text)));
	if (screen->note)
		screen_pen_print(pen, "%s  ", screen->note);
	if (n > screen->page)
		screen_pen_print(pen, "workers %zu to %zu of %zu  ", screen->first + 1,
		                 screen->first + screen->page, n);
	if (json_read_text(status, "remedy"))
		screen_pen_print(pen, "NOT IN FORCE, see `status`  ");
	if (foreign > 0)
		screen_pen_print(pen, "%zu foreign listener%s, see `status`  ", foreign,
		                 foreign == 1 ? "" : "s");
	if (why)
		screen_pen_print(pen, "connections are not counted: %s", why);
	screen_pen_end_line(pen);
}

/* How many bytes of @text go into a line: broken at a blank if there is one. */
static size_t screen_wrap(const char *text, size_t width)
{
	size_t n = strlen(text), at = width;

	if (n <= width)
		return n;
	while (at > 0 && !strchr(BLANKS, text[at]))
		at--;
	return at > 0 ? at : width;
}

static const char *screen_next_line(const char *text, size_t width)
{
	text += screen_wrap(text, width);
	return text + strspn(text, BLANKS);
}

static unsigned int screen_count_lines(const char *text, size_t width)
{
	unsigned int n = 0;

	for (; *text; text = screen_next_line(text, width))
		n++;
	return n;
}

static void screen_draw_keys(struct screen_pen *pen, const struct screen *screen)
{
	screen_pen_begin_line(pen);
	screen_pen_print(pen, "arrows select  d drain  R resume  s sort: %s%s  r reverse  q quit",
	                 screen_rows_sort_name(screen->sort), screen->reversed ? ", reversed" : "");
	screen_pen_end_line(pen);
}

static void screen_draw_message(struct screen_pen *pen, const char *text)
{
	for (; *text; text = screen_next_line(text, pen->columns)) {
		screen_pen_begin_line(pen);
		screen_pen_style(pen, SCREEN_PEN_BOLD);
		screen_pen_print(pen, "%.*s", (int)screen_wrap(text, pen->columns), text);
		screen_pen_style(pen, SCREEN_PEN_PLAIN);
		screen_pen_end_line(pen);
	}
}

void screen_draw(FILE *out, struct json_object *status, struct screen *screen)
{
	unsigned int foot =
	        screen->message ? screen_count_lines(screen->message, screen->columns) : FOOT_LINES;
	struct screen_pen pen = {.out = out, .rows = screen->rows, .columns = screen->columns};
	_cleanup_free_ struct screen_row *rows = NULL;
	size_t n;

	if (screen_rows_sort(status, screen, &rows, &n) < 0)
		return; /* the old screen stays */
	screen->page = screen->rows > HEAD_LINES + foot ? screen->rows - HEAD_LINES - foot : 1;
	screen_rows_scroll(screen, rows, n);
	fputs("\033[H", out);
	screen_draw_service(&pen, status);
	screen_draw_endpoints(&pen, status);
	screen_draw_totals(&pen, status);
	screen_draw_notes(&pen, status, screen, n);
	screen_workers_draw(&pen, screen, rows, n);
	if (screen->message)
		screen_draw_message(&pen, screen->message);
	else
		screen_draw_keys(&pen, screen);
}
