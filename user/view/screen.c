/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/screen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define CELL_MAX   64
#define TEXT_MAX   1024
#define HEAD_LINES 5 /* above the workers */
#define FOOT_LINES 1 /* the keys */
#define BAR_LEAST  8
#define BAR_MOST   100

#define STYLE_BOLD      "\033[1m"
#define STYLE_UNDERLINE "\033[4m"
#define STYLE_REVERSE   "\033[7m"
#define STYLE_END       "\033[0m"

enum column_id {
	COLUMN_SLOT,
	COLUMN_STATE,
	COLUMN_VERSION,
	COLUMN_SHARE, /* and behind it the bar */
	COLUMN_RATE,
	COLUMN_ACTIVE,
	COLUMN_QUEUE,
	COLUMN_PID,
	COLUMN_COMMAND,
	COLUMN_MAX,
};

/* At least as wide as given here, so that they don't move with every digit. */
static const struct {
	const char *title, *key;
	bool text; /* left-aligned */
	int least;
} columns[COLUMN_MAX] = {
        [COLUMN_SLOT] = {"SLOT", "slot", false, 4},
        [COLUMN_STATE] = {"STATE", "state", true, 8},
        [COLUMN_VERSION] = {"VERSION", "version", true, 7},
        [COLUMN_SHARE] = {"SHARE", "share_percent", false, 6},
        [COLUMN_RATE] = {"RATE/S", "rate", false, 7},
        [COLUMN_ACTIVE] = {"ACTIVE", "active", false, 6},
        [COLUMN_QUEUE] = {"QUEUE", "queued", false, 5},
        [COLUMN_PID] = {"PID", "pid", false, 5},
        [COLUMN_COMMAND] = {"COMMAND", "command", true, 7},
};

static const struct {
	const char *name;
	enum column_id column;
} sorts[] = {
        [SCREEN_BY_SLOT] = {"slot", COLUMN_SLOT},    [SCREEN_BY_SHARE] = {"share", COLUMN_SHARE},
        [SCREEN_BY_RATE] = {"rate", COLUMN_RATE},    [SCREEN_BY_ACTIVE] = {"active", COLUMN_ACTIVE},
        [SCREEN_BY_QUEUE] = {"queue", COLUMN_QUEUE},
};
_Static_assert(ARRAY_SIZE(sorts) == SCREEN_SORT_MAX, "a column for each sort");

/* Where we are on the screen. Lines that don't fit on it are not written. */
struct pen {
	FILE *out;
	unsigned int rows, columns;
	unsigned int row;  /* the line that is being written, from 1 on */
	unsigned int left; /* columns that are free in it */
};

static bool screen_is_off_screen(const struct pen *pen)
{
	return pen->row > pen->rows;
}

static void screen_line_begin(struct pen *pen)
{
	if (++pen->row > 1 && !screen_is_off_screen(pen))
		fputs("\r\n", pen->out);
	pen->left = pen->columns;
}

/* What is left of the line's old text goes. Not at the margin, where it would take our last
 * character with it. */
static void screen_line_end(struct pen *pen)
{
	if (pen->left > 0 && !screen_is_off_screen(pen))
		fputs("\033[K", pen->out);
}

static void screen_put_style(struct pen *pen, const char *style)
{
	if (!screen_is_off_screen(pen))
		fputs(style, pen->out);
}

/* Text of one column a byte, as all names are that a view has. Errors may have several lines. */
__attribute__((format(printf, 2, 3))) static void screen_put(struct pen *pen, const char *format,
                                                             ...)
{
	char text[TEXT_MAX];
	unsigned int n;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n = strlen(text);
	if (n > pen->left)
		n = pen->left;
	for (unsigned int i = 0; i < n && !screen_is_off_screen(pen); i++)
		fputc((unsigned char)text[i] < ' ' ? ' ' : text[i], pen->out);
	pen->left -= n;
}

/* A bar of @width columns, @part of which (0 to 1) is filled. What isn't nothing is seen. */
static void screen_put_bar(struct pen *pen, int width, double part, bool utf8)
{
	int unit = utf8 ? 8 : 1;
	int units = (int)(part * width * unit + 0.5);

	if (units == 0 && part > 0)
		units = 1;
	for (int i = 0; i < width && pen->left > 0; i++, pen->left--, units -= unit) {
		if (screen_is_off_screen(pen))
			continue;
		if (units <= 0)
			fputc(' ', pen->out);
		else if (utf8) /* U+2588 full block to U+258F, an eighth of it */
			fprintf(pen->out, "\xe2\x96%c", units >= 8 ? 0x88 : 0x90 - units);
		else
			fputc('#', pen->out);
	}
}

/* Reading the view */

static struct json_object *screen_get(struct json_object *of, const char *key)
{
	return json_object_object_get(of, key);
}

static const char *screen_get_text(struct json_object *of, const char *key)
{
	return json_object_get_string(screen_get(of, key));
}

static double screen_get_number(struct json_object *of, const char *key)
{
	return json_object_get_double(screen_get(of, key));
}

/* What isn't known is less than nothing. */
struct row {
	struct json_object *worker;
	double key;
	int slot;
};

static int screen_compare_rows(const void *a, const void *b, void *data)
{
	const struct row *x = a, *y = b;
	const struct screen *screen = data;
	int order = screen->sort == SCREEN_BY_SLOT ? 0 : (x->key < y->key) - (x->key > y->key);

	if (order == 0)
		order = (x->slot > y->slot) - (x->slot < y->slot);
	return screen->reversed ? -order : order;
}

/* The workers in the order of the sort; the caller frees *ret. */
static int screen_sort_rows(struct json_object *status, struct screen *screen, struct row **ret,
                            size_t *ret_n)
{
	struct json_object *workers = screen_get(status, "workers");
	size_t n = json_object_array_length(workers);
	struct row *rows = calloc(n + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct json_object *worker = json_object_array_get_idx(workers, i);
		struct json_object *key =
		        screen_get(worker, columns[sorts[screen->sort].column].key);

		rows[i] = (struct row){
		        .worker = worker,
		        .key = key ? json_object_get_double(key) : -1,
		        .slot = json_object_get_int(screen_get(worker, "slot")),
		};
	}
	qsort_r(rows, n, sizeof(*rows), screen_compare_rows, screen);
	*ret = rows;
	*ret_n = n;
	return 0;
}

/* Where the selected worker is, or -1. */
static long screen_find_selected(const struct screen *screen, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].slot == screen->selected)
			return i;
	return -1;
}

void screen_move(struct json_object *status, struct screen *screen, long by)
{
	_cleanup_free_ struct row *rows = NULL;
	size_t n;
	long at;

	if (screen_sort_rows(status, screen, &rows, &n) < 0 || n == 0)
		return;
	at = screen_find_selected(screen, rows, n);
	if (at < 0)
		at = by < 0 ? (long)screen->first + 1 : (long)screen->first - 1;
	at += by;
	if (at >= (long)n)
		at = n - 1;
	screen->selected = rows[at < 0 ? 0 : at].slot;
}

static void screen_scroll(struct screen *screen, const struct row *rows, size_t n)
{
	long at = screen_find_selected(screen, rows, n);

	if (at < 0)
		screen->selected = SCREEN_NO_SLOT;
	else if ((size_t)at < screen->first)
		screen->first = at;
	else if ((size_t)at >= screen->first + screen->page)
		screen->first = at - screen->page + 1;
	if (screen->first + screen->page > n)
		screen->first = n > screen->page ? n - screen->page : 0;
}

/* The head */

static void screen_draw_service(struct pen *pen, struct json_object *status)
{
	struct json_object *workers = screen_get(status, "workers");
	const char *only = screen_get_text(status, "only_version");
	size_t n = json_object_array_length(workers), taking = 0;

	for (size_t i = 0; i < n; i++)
		taking += screen_get_number(json_object_array_get_idx(workers, i),
		                            "share_percent") > 0;
	screen_line_begin(pen);
	screen_put_style(pen, STYLE_BOLD);
	screen_put(pen, "%s", screen_get_text(status, "service"));
	screen_put_style(pen, STYLE_END);
	screen_put(pen, ": %zu of %zu workers take new connections, %s%s, ring of %.0f", taking, n,
	           screen_get_text(status, "policy"),
	           json_object_get_boolean(screen_get(status, "strict")) ? ", strict" : "",
	           screen_get_number(screen_get(status, "ring"), "length"));
	if (only)
		screen_put(pen, ", only version %s", only);
	screen_line_end(pen);
}

static void screen_draw_endpoints(struct pen *pen, struct json_object *status)
{
	struct json_object *endpoints = screen_get(status, "endpoints");

	screen_line_begin(pen);
	screen_put(pen, "endpoints");
	for (size_t i = 0; i < json_object_array_length(endpoints); i++)
		screen_put(pen, " %s",
		           screen_get_text(json_object_array_get_idx(endpoints, i), "endpoint"));
	screen_line_end(pen);
}

/* The sum over the workers of which it is known. */
static void screen_put_sum(struct pen *pen, struct json_object *status, const char *title,
                           const char *key, int decimals)
{
	struct json_object *workers = screen_get(status, "workers");
	bool known = false;
	double sum = 0;

	for (size_t i = 0; i < json_object_array_length(workers); i++) {
		struct json_object *value = screen_get(json_object_array_get_idx(workers, i), key);

		known |= value != NULL;
		sum += json_object_get_double(value);
	}
	if (known)
		screen_put(pen, "%s %.*f  ", title, decimals, sum);
	else
		screen_put(pen, "%s -  ", title);
}

/* Of the counters, those that have counted something. */
static void screen_draw_totals(struct pen *pen, struct json_object *status)
{
	screen_line_begin(pen);
	screen_put_sum(pen, status, "rate/s", "rate", 1);
	screen_put_sum(pen, status, "active", "active", 0);
	screen_put_sum(pen, status, "queue", "queued", 0);
	json_object_object_foreach(screen_get(status, "counters"), name, count)
	{
		if (json_object_get_int64(count) > 0)
			screen_put(pen, "%s %s  ", name, json_object_get_string(count));
	}
	screen_line_end(pen);
}

/* What must be known of the numbers below. */
static void screen_draw_notes(struct pen *pen, struct json_object *status,
                              const struct screen *screen, size_t n)
{
	size_t foreign = json_object_array_length(screen_get(status, "foreign_listeners"));
	const char *why = screen_get_text(status, "not_counting");

	screen_line_begin(pen);
	if (screen->note)
		screen_put(pen, "%s  ", screen->note);
	if (n > screen->page)
		screen_put(pen, "workers %zu to %zu of %zu  ", screen->first + 1,
		           screen->first + screen->page, n);
	if (foreign > 0)
		screen_put(pen, "%zu foreign listeners, see `status`  ", foreign);
	if (why)
		screen_put(pen, "connections are not counted: %s", why);
	screen_line_end(pen);
}

/* The workers */

struct layout {
	int widths[COLUMN_MAX];
	int bar;
	double most; /* the largest share: a full bar */
};

static void screen_format_cell(struct json_object *worker, enum column_id column,
                               char buf[CELL_MAX])
{
	struct json_object *value = screen_get(worker, columns[column].key);

	if (!value)
		snprintf(buf, CELL_MAX, "-");
	else if (json_object_is_type(value, json_type_double))
		snprintf(buf, CELL_MAX, "%.1f%s", json_object_get_double(value),
		         column == COLUMN_SHARE ? "%" : "");
	else
		snprintf(buf, CELL_MAX, "%s", json_object_get_string(value));
}

/* Takes from a column what the bar lacks. */
static void screen_make_room(struct layout *layout, enum column_id column)
{
	int lacks = BAR_LEAST - layout->bar, spare = layout->widths[column] - columns[column].least;
	int taken = lacks < spare ? lacks : spare;

	if (taken > 0) {
		layout->widths[column] -= taken;
		layout->bar += taken;
	}
}

/* Each column as wide as what is in it; the bar gets the rest. */
static void screen_lay_out(const struct row *rows, size_t n, int width, struct layout *ret)
{
	*ret = (struct layout){.bar = width - 1}; /* the mark of the selected one */
	for (enum column_id c = 0; c < COLUMN_MAX; c++) {
		ret->widths[c] = columns[c].least;
		for (size_t i = 0; i < n; i++) {
			char text[CELL_MAX];

			screen_format_cell(rows[i].worker, c, text);
			if ((int)strlen(text) > ret->widths[c])
				ret->widths[c] = strlen(text);
		}
		ret->bar -= ret->widths[c] + 1;
	}
	screen_make_room(ret, COLUMN_VERSION);
	screen_make_room(ret, COLUMN_COMMAND);
	if (ret->bar < 0)
		ret->bar = 0;
	if (ret->bar > BAR_MOST)
		ret->bar = BAR_MOST;
	for (size_t i = 0; i < n; i++) {
		double share = screen_get_number(rows[i].worker, "share_percent");

		ret->most = share > ret->most ? share : ret->most;
	}
}

static void screen_put_cell(struct pen *pen, const struct layout *layout, enum column_id column,
                            const char *text)
{
	int width = layout->widths[column];

	screen_put(pen, "%*.*s", columns[column].text ? -width : width, width, text);
	if (column != COLUMN_MAX - 1)
		screen_put(pen, " ");
}

static void screen_draw_titles(struct pen *pen, const struct layout *layout,
                               const struct screen *screen)
{
	screen_line_begin(pen);
	screen_put(pen, " ");
	for (enum column_id c = 0; c < COLUMN_MAX; c++) {
		if (c == sorts[screen->sort].column)
			screen_put_style(pen, STYLE_BOLD STYLE_UNDERLINE);
		screen_put_cell(pen, layout, c, columns[c].title);
		screen_put_style(pen, STYLE_END);
		if (c == COLUMN_SHARE)
			screen_put(pen, "%*s ", layout->bar, "");
	}
	screen_line_end(pen);
}

static const char *screen_style_of(const char *state)
{
	static const struct {
		const char *state, *style;
	} styles[] = {
	        {"active", "\033[32m"},   {"canary", "\033[36m"},     {"standby", "\033[2m"},
	        {"draining", "\033[33m"}, {"stalled", "\033[31m"},    {"dead", "\033[31m"},
	        {"starting", "\033[33m"}, {"restarting", "\033[33m"}, {"failed", "\033[31m"},
	        {"stopped", "\033[2m"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(styles); i++)
		if (!strcmp(styles[i].state, state))
			return styles[i].style;
	return "";
}

static void screen_draw_worker(struct pen *pen, const struct layout *layout, const struct row *row,
                               const struct screen *screen)
{
	bool selected = row->slot == screen->selected;
	const char *style =
	        selected ? STYLE_REVERSE : screen_style_of(screen_get_text(row->worker, "state"));
	double share = screen_get_number(row->worker, "share_percent");
	char text[CELL_MAX];

	screen_line_begin(pen);
	screen_put(pen, selected ? ">" : " ");
	for (enum column_id c = 0; c < COLUMN_MAX; c++) {
		if (selected || c == COLUMN_STATE)
			screen_put_style(pen, style);
		screen_format_cell(row->worker, c, text);
		screen_put_cell(pen, layout, c, text);
		screen_put_style(pen, STYLE_END);
		if (c == COLUMN_SHARE) {
			screen_put_style(pen,
			                 screen_style_of(screen_get_text(row->worker, "state")));
			screen_put_bar(pen, layout->bar, share > 0 ? share / layout->most : 0,
			               screen->utf8);
			screen_put_style(pen, STYLE_END);
			screen_put(pen, " ");
		}
	}
	screen_line_end(pen);
}

/* The foot */

#define BLANKS " \n"

/* How much of @text goes into a line, broken at a blank if there is one. */
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

static void screen_draw_keys(struct pen *pen, const struct screen *screen)
{
	screen_line_begin(pen);
	screen_put(pen, "arrows select  d drain  R resume  s sort: %s%s  r reverse  q quit",
	           sorts[screen->sort].name, screen->reversed ? ", reversed" : "");
	screen_line_end(pen);
}

static void screen_draw_message(struct pen *pen, const char *text)
{
	for (; *text; text = screen_next_line(text, pen->columns)) {
		screen_line_begin(pen);
		screen_put_style(pen, STYLE_BOLD);
		screen_put(pen, "%.*s", (int)screen_wrap(text, pen->columns), text);
		screen_put_style(pen, STYLE_END);
		screen_line_end(pen);
	}
}

void screen_draw(FILE *out, struct json_object *status, struct screen *screen)
{
	unsigned int foot =
	        screen->message ? screen_count_lines(screen->message, screen->columns) : FOOT_LINES;
	struct pen pen = {.out = out, .rows = screen->rows, .columns = screen->columns};
	_cleanup_free_ struct row *rows = NULL;
	struct layout layout;
	size_t n, i;

	if (screen_sort_rows(status, screen, &rows, &n) < 0)
		return; /* and what is on the screen stays */
	screen->page = screen->rows > HEAD_LINES + foot ? screen->rows - HEAD_LINES - foot : 1;
	screen_scroll(screen, rows, n);
	screen_lay_out(rows, n, screen->columns, &layout);
	fputs("\033[H", out);
	screen_draw_service(&pen, status);
	screen_draw_endpoints(&pen, status);
	screen_draw_totals(&pen, status);
	screen_draw_notes(&pen, status, screen, n);
	screen_draw_titles(&pen, &layout, screen);
	for (i = screen->first; i < n && i < screen->first + screen->page; i++)
		screen_draw_worker(&pen, &layout, &rows[i], screen);
	for (i -= screen->first; i < screen->page; i++) {
		screen_line_begin(&pen);
		screen_line_end(&pen);
	}
	if (screen->message)
		screen_draw_message(&pen, screen->message);
	else
		screen_draw_keys(&pen, screen);
}
