/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/screen.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json_read.h"
#include "view/deployment_view.h"
#include "view/screen_foot.h"
#include "view/screen_pen.h"
#include "view/screen_rows.h"
#include "view/screen_workers.h"
#include "view/status_view.h"

#define HEAD_LINES 5 /* above the workers */

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

static bool screen_is_first_with(struct json_object *workers, size_t at, const char *version)
{
	for (size_t i = 0; i < at; i++) {
		const char *other =
		        json_read_text(json_object_array_get_idx(workers, i), "version");

		if (other && !strcmp(other, version))
			return false;
	}
	return true;
}

/* The version after @current in the order of the slots; "" after the last one. */
static const char *screen_find_next_version(struct json_object *workers, const char *current)
{
	bool passed = !current[0];

	for (size_t i = 0; i < json_object_array_length(workers); i++) {
		const char *version =
		        json_read_text(json_object_array_get_idx(workers, i), "version");

		if (!version)
			continue;
		if (passed && screen_is_first_with(workers, i, version))
			return version;
		passed |= !strcmp(version, current);
	}
	return "";
}

void screen_next_version(struct json_object *status, struct screen *screen)
{
	const char *next =
	        screen_find_next_version(json_read_value(status, "workers"), screen->version);

	snprintf(screen->version, sizeof(screen->version), "%s", next);
	screen->selected = SCREEN_NO_SLOT;
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
	if (screen->version[0])
		screen_pen_print(pen, "only version %s: %zu worker%s  ", screen->version, n,
		                 n == 1 ? "" : "s");
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

static void screen_draw_foot(struct screen_pen *pen, const struct screen *screen)
{
	char keys[128];

	snprintf(keys, sizeof(keys),
	         "arrows select  d drain  R resume  s sort: %s%s  ? help  q quit",
	         screen_rows_sort_name(screen->sort), screen->reversed ? ", reversed" : "");
	screen_foot_draw(pen, screen, keys);
}

void screen_draw(FILE *out, struct json_object *status, struct screen *screen)
{
	const unsigned int foot = screen_foot_count_lines(screen);
	struct screen_pen pen = {.out = out,
	                         .rows = screen->rows,
	                         .columns = screen->columns,
	                         .colour = screen->colour};
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
	if (screen->help)
		screen_foot_draw_help(&pen, screen->page + 1);
	else
		screen_workers_draw(&pen, screen, rows, n);
	screen_draw_foot(&pen, screen);
}
