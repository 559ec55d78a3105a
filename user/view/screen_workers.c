/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/screen_workers.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json_read.h"
#include "view/error_share.h"

#define CELL_MAX  64
#define BAR_LEAST 8
#define BAR_MOST  100

enum column_id {
	COLUMN_SLOT,
	COLUMN_STATE,
	COLUMN_VERSION,
	COLUMN_SHARE, /* with the bar behind it */
	COLUMN_RATE,
	COLUMN_ACTIVE,
	COLUMN_QUEUE,
	COLUMN_REQUESTS, /* these three only if HTTP responses are counted */
	COLUMN_ERRORS,
	COLUMN_TIME,
	COLUMN_PID,
	COLUMN_COMMAND,
	COLUMN_MAX,
};

/* The least widths keep the columns in place while the numbers change. */
static const struct {
	const char *title, *in, *key; /* @in: the member that has @key; NULL = the worker itself */
	bool text;                    /* left-aligned */
	int least;
} columns[COLUMN_MAX] = {
        [COLUMN_SLOT] = {"SLOT", NULL, "slot", false, 4},
        [COLUMN_STATE] = {"STATE", NULL, "state", true, 8},
        [COLUMN_VERSION] = {"VERSION", NULL, "version", true, 7},
        [COLUMN_SHARE] = {"SHARE", NULL, "share_percent", false, 6},
        [COLUMN_RATE] = {"RATE/S", NULL, "rate", false, 7},
        [COLUMN_ACTIVE] = {"ACTIVE", NULL, "active", false, 6},
        [COLUMN_QUEUE] = {"QUEUE", NULL, "queued", false, 5},
        [COLUMN_REQUESTS] = {"REQ/S", NULL, "requests_per_second", false, 7},
        [COLUMN_ERRORS] = {"5XX/%", NULL, ERROR_SHARE_KEY, false, 5},
        [COLUMN_TIME] = {"P99/MS", "time_to_first_byte", "p99_ms", false, 6},
        [COLUMN_PID] = {"PID", NULL, "pid", false, 5},
        [COLUMN_COMMAND] = {"COMMAND", NULL, "command", true, 7},
};

struct layout {
	int widths[COLUMN_MAX]; /* 0 = it is not shown */
	int bar;
	double most; /* the largest share: a full bar */
};

static void screen_workers_format_cell(struct json_object *worker, enum column_id column,
                                       char buf[CELL_MAX])
{
	const char *in = columns[column].in;
	struct json_object *value =
	        json_read_value(in ? json_read_value(worker, in) : worker, columns[column].key);

	if (!value)
		snprintf(buf, CELL_MAX, "-");
	else if (json_object_is_type(value, json_type_double))
		snprintf(buf, CELL_MAX, "%.1f%s", json_object_get_double(value),
		         column == COLUMN_SHARE ? "%" : "");
	else
		snprintf(buf, CELL_MAX, "%s", json_read_as_text(value));
}

/* Gives columns of @column to a bar that has less than BAR_LEAST. */
static void screen_workers_shrink_column(struct layout *layout, enum column_id column)
{
	int lacks = BAR_LEAST - layout->bar, spare = layout->widths[column] - columns[column].least;
	int taken = lacks < spare ? lacks : spare;

	if (taken > 0) {
		layout->widths[column] -= taken;
		layout->bar += taken;
	}
}

/* Leaves a column out if the bar has less than BAR_LEAST. */
static void screen_workers_drop_column(struct layout *layout, enum column_id column)
{
	if (layout->bar >= BAR_LEAST)
		return;
	/* No space follows the last column; without it, one follows the new last one. */
	layout->bar += layout->widths[column] + (column != COLUMN_MAX - 1);
	layout->widths[column] = 0;
}

static bool screen_workers_have_responses(const struct screen_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (json_read_value(rows[i].worker, "responses"))
			return true;
	return false;
}

/* Each column is as wide as its widest cell; the bar gets the rest. With HTTP responses, columns of
 * less use make room for it. */
static void screen_workers_lay_out(const struct screen_row *rows, size_t n, int width,
                                   struct layout *ret)
{
	const bool responses = screen_workers_have_responses(rows, n);

	*ret = (struct layout){.bar = width - 1}; /* without the mark of the selected worker */
	for (enum column_id c = 0; c < COLUMN_MAX; c++) {
		if (!responses && c >= COLUMN_REQUESTS && c <= COLUMN_TIME)
			continue;
		ret->widths[c] = columns[c].least;
		for (size_t i = 0; i < n; i++) {
			char text[CELL_MAX];

			screen_workers_format_cell(rows[i].worker, c, text);
			if ((int)strlen(text) > ret->widths[c])
				ret->widths[c] = strlen(text);
		}
		ret->bar -= ret->widths[c] + 1;
	}
	screen_workers_shrink_column(ret, COLUMN_VERSION);
	screen_workers_shrink_column(ret, COLUMN_COMMAND);
	if (responses) {
		screen_workers_drop_column(ret, COLUMN_COMMAND);
		screen_workers_drop_column(ret, COLUMN_PID);
	}
	if (ret->bar < 0)
		ret->bar = 0;
	if (ret->bar > BAR_MOST)
		ret->bar = BAR_MOST;
	for (size_t i = 0; i < n; i++) {
		double share = json_read_real(rows[i].worker, "share_percent");

		ret->most = share > ret->most ? share : ret->most;
	}
}

static void screen_workers_print_cell(struct screen_pen *pen, const struct layout *layout,
                                      enum column_id column, const char *text)
{
	int width = layout->widths[column];

	if (!width)
		return;
	screen_pen_print(pen, "%*.*s", columns[column].text ? -width : width, width, text);
	if (column != COLUMN_MAX - 1)
		screen_pen_print(pen, " ");
}

static void screen_workers_draw_titles(struct screen_pen *pen, const struct layout *layout,
                                       const struct screen *screen)
{
	const char *sorted_by = screen_rows_sort_key(screen->sort);

	screen_pen_begin_line(pen);
	screen_pen_print(pen, " ");
	for (enum column_id c = 0; c < COLUMN_MAX; c++) {
		if (!strcmp(columns[c].key, sorted_by))
			screen_pen_style(pen, SCREEN_PEN_BOLD SCREEN_PEN_UNDERLINE);
		screen_workers_print_cell(pen, layout, c, columns[c].title);
		screen_pen_style(pen, SCREEN_PEN_PLAIN);
		if (c == COLUMN_SHARE)
			screen_pen_print(pen, "%*s ", layout->bar, "");
	}
	screen_pen_end_line(pen);
}

static const char *screen_workers_style_of(const char *state)
{
	static const struct {
		const char *state, *style;
	} styles[] = {
	        {"active", "\033[32m"},   {"canary", "\033[36m"},   {"standby", "\033[2m"},
	        {"draining", "\033[33m"}, {"stalled", "\033[31m"},  {"dead", "\033[31m"},
	        {"stuck", "\033[31m"},    {"starting", "\033[33m"}, {"restarting", "\033[33m"},
	        {"failed", "\033[31m"},   {"stopped", "\033[2m"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(styles); i++)
		if (!strcmp(styles[i].state, state))
			return styles[i].style;
	return "";
}

static void screen_workers_draw_worker(struct screen_pen *pen, const struct layout *layout,
                                       const struct screen_row *row, const struct screen *screen)
{
	bool selected = row->slot == screen->selected;
	const char *state_style = screen_workers_style_of(json_read_text(row->worker, "state"));
	double share = json_read_real(row->worker, "share_percent");
	char text[CELL_MAX];

	screen_pen_begin_line(pen);
	screen_pen_print(pen, selected ? ">" : " ");
	for (enum column_id c = 0; c < COLUMN_MAX; c++) {
		if (selected)
			screen_pen_style(pen, SCREEN_PEN_REVERSE);
		else if (c == COLUMN_STATE)
			screen_pen_colour(pen, state_style);
		screen_workers_format_cell(row->worker, c, text);
		screen_workers_print_cell(pen, layout, c, text);
		screen_pen_style(pen, SCREEN_PEN_PLAIN);
		if (c == COLUMN_SHARE) {
			screen_pen_colour(pen, state_style);
			screen_pen_bar(pen, layout->bar, share > 0 ? share / layout->most : 0,
			               screen->utf8);
			screen_pen_style(pen, SCREEN_PEN_PLAIN);
			screen_pen_print(pen, " ");
		}
	}
	screen_pen_end_line(pen);
}

void screen_workers_draw(struct screen_pen *pen, const struct screen *screen,
                         const struct screen_row *rows, size_t n)
{
	struct layout layout;
	size_t i;

	screen_workers_lay_out(rows, n, screen->columns, &layout);
	screen_workers_draw_titles(pen, &layout, screen);
	for (i = screen->first; i < n && i < screen->first + screen->page; i++)
		screen_workers_draw_worker(pen, &layout, &rows[i], screen);
	for (i -= screen->first; i < screen->page; i++) {
		screen_pen_begin_line(pen);
		screen_pen_end_line(pen);
	}
}
