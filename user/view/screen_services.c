/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/screen_services.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json_read.h"
#include "view/screen_foot.h"
#include "view/screen_pen.h"

#define HEAD_LINES 2 /* above the services */

static const struct {
	const char *title, *key;
	bool text; /* left-aligned */
} columns[] = {
        {"SERVICE", "service", true}, {"ENDPOINT", "endpoint", true},
        {"POLICY", "policy", true},   {"WORKERS", "workers", false},
        {"LIVE", "live", false},      {"IN RING", "in_ring", false},
};

struct widths {
	int of[ARRAY_SIZE(columns)];
};

static const char *screen_services_cell(struct json_object *row, size_t column)
{
	struct json_object *value = json_read_value(row, columns[column].key);

	return value ? json_read_as_text(value) : "-";
}

/* Each column is as wide as its widest cell. */
static struct widths screen_services_lay_out(struct json_object *services)
{
	struct widths ret;

	for (size_t c = 0; c < ARRAY_SIZE(columns); c++) {
		ret.of[c] = (int)strlen(columns[c].title);
		for (size_t i = 0; i < json_object_array_length(services); i++) {
			struct json_object *row = json_object_array_get_idx(services, i);
			const int width = (int)strlen(screen_services_cell(row, c));

			if (width > ret.of[c])
				ret.of[c] = width;
		}
	}
	return ret;
}

static void screen_services_print_cell(struct screen_pen *pen, const struct widths *widths,
                                       size_t column, const char *text)
{
	const int width = widths->of[column];

	screen_pen_print(pen, " %*s", columns[column].text ? -width : width, text);
}

static void screen_services_draw_titles(struct screen_pen *pen, const struct widths *widths)
{
	screen_pen_begin_line(pen);
	screen_pen_print(pen, " ");
	screen_pen_style(pen, SCREEN_PEN_BOLD);
	for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
		screen_services_print_cell(pen, widths, c, columns[c].title);
	screen_pen_style(pen, SCREEN_PEN_PLAIN);
	screen_pen_end_line(pen);
}

static void screen_services_draw_row(struct screen_pen *pen, const struct widths *widths,
                                     struct json_object *row, bool selected)
{
	const char *error = json_read_text(row, "error");

	screen_pen_begin_line(pen);
	screen_pen_print(pen, selected ? ">" : " ");
	if (selected)
		screen_pen_style(pen, SCREEN_PEN_REVERSE);
	screen_services_print_cell(pen, widths, 0, screen_services_cell(row, 0));
	if (error)
		screen_pen_print(pen, " %s", error);
	for (size_t c = 1; c < ARRAY_SIZE(columns) && !error; c++)
		screen_services_print_cell(pen, widths, c, screen_services_cell(row, c));
	screen_pen_style(pen, SCREEN_PEN_PLAIN);
	screen_pen_end_line(pen);
}

/* Sets what is selected and visible: services may have come and gone. */
static void screen_services_scroll(struct json_object *services, struct screen *screen)
{
	const size_t n = json_object_array_length(services);

	screen_services_move(services, screen, 0);
	if ((size_t)screen->selected < screen->first)
		screen->first = screen->selected;
	if ((size_t)screen->selected >= screen->first + screen->page)
		screen->first = screen->selected - screen->page + 1;
	if (screen->first + screen->page > n)
		screen->first = n > screen->page ? n - screen->page : 0;
}

void screen_services_draw(FILE *out, struct json_object *services, struct screen *screen)
{
	const unsigned int foot = screen_foot_count_lines(screen);
	const struct widths widths = screen_services_lay_out(services);
	const size_t n = json_object_array_length(services);
	struct screen_pen pen = {.out = out, .rows = screen->rows, .columns = screen->columns};

	screen->page = screen->rows > HEAD_LINES + foot ? screen->rows - HEAD_LINES - foot : 1;
	screen_services_scroll(services, screen);
	fputs("\033[H", out);
	screen_pen_begin_line(&pen);
	screen_pen_print(&pen, "%zu service%s", n, n == 1 ? "" : "s");
	screen_pen_end_line(&pen);
	if (screen->help)
		screen_foot_draw_help(&pen, screen->page + 1);
	else
		screen_services_draw_titles(&pen, &widths);
	for (size_t i = screen->first; !screen->help && i < screen->first + screen->page; i++) {
		if (i < n) {
			screen_services_draw_row(&pen, &widths,
			                         json_object_array_get_idx(services, i),
			                         i == (size_t)screen->selected);
			continue;
		}
		screen_pen_begin_line(&pen);
		screen_pen_end_line(&pen);
	}
	screen_foot_draw(&pen, screen, "arrows select  Enter show  ? help  q quit");
}

void screen_services_move(struct json_object *services, struct screen *screen, long by)
{
	const long n = (long)json_object_array_length(services), at = screen->selected + by;

	screen->selected = (int)(at >= n ? n - 1 : at);
	if (screen->selected < 0)
		screen->selected = 0;
}

const char *screen_services_selected(struct json_object *services, const struct screen *screen)
{
	return json_read_text(json_object_array_get_idx(services, screen->selected), "service");
}
