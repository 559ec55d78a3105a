/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/table.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_read.h"
#include "base/memory.h"

#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_MAX    128
#define TABLE_WIDTH       80

/* The cells of a table as text. */
struct table_cells {
	char *text; /* row by row; a NUL ends each */
	int widths[TABLE_COLUMNS_MAX];
	bool is_text[TABLE_COLUMNS_MAX]; /* the column has texts: is aligned to the left */
};

/* Returns the cell's width. */
static int table_write_cell(FILE *out, struct json_object *value, const struct table_column *column)
{
	const char *suffix = column->suffix ? column->suffix : "";
	char buf[TABLE_CELL_MAX];

	if (!value)
		return fprintf(out, "-");
	if (column->format) {
		column->format(value, buf, sizeof(buf));
		return fprintf(out, "%s", buf);
	}
	switch (json_object_get_type(value)) {
	case json_type_boolean:
		return fprintf(out, "%s", json_object_get_boolean(value) ? "yes" : "no");
	case json_type_double:
		return fprintf(out, "%.1f%s", json_object_get_double(value), suffix);
	case json_type_int:
		return fprintf(out, "%" PRId64 "%s", json_object_get_int64(value), suffix);
	default:
		return fprintf(out, "%.*s%s", TABLE_CELL_MAX, json_read_as_text(value), suffix);
	}
}

static void table_write_cells(struct json_object *rows, const struct table_column *columns,
                              size_t n, struct table_cells *ret)
{
	size_t size;
	FILE *out = memory_need(open_memstream(&ret->text, &size));

	for (size_t c = 0; c < n; c++)
		ret->widths[c] = strlen(columns[c].title);
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		for (size_t c = 0; c < n; c++) {
			struct json_object *value =
			        json_read_value(json_object_array_get_idx(rows, i), columns[c].key);
			const int width = table_write_cell(out, value, &columns[c]);

			fputc('\0', out);
			if (width > ret->widths[c])
				ret->widths[c] = width;
			ret->is_text[c] |= json_object_is_type(value, json_type_string);
		}
	memory_need(memory_close_text(out, &ret->text));
}

static void table_print_spaces(FILE *out, int n)
{
	while (n-- > 0)
		fputc(' ', out);
}

/* Text in the last column is not padded, so that no line ends with spaces. Returns what follows
 * @text. */
static const char *table_print_cell(FILE *out, const char *text, int width, bool is_text,
                                    const char *gap)
{
	const int length = strlen(text);

	if (!is_text)
		table_print_spaces(out, width - length);
	fputs(text, out);
	if (is_text && gap[0] != '\n')
		table_print_spaces(out, width - length);
	fputs(gap, out);
	return text + length + 1;
}

void table_print(FILE *out, struct json_object *rows, const struct table_column *columns, size_t n)
{
	struct table_cells cells = {};
	int total = 2 * (int)(n - 1);
	const char *gap, *at;

	table_write_cells(rows, columns, n, &cells);
	for (size_t c = 0; c < n; c++)
		total += cells.widths[c];
	gap = total > TABLE_WIDTH ? " " : "  ";
	for (size_t c = 0; c < n; c++)
		table_print_cell(out, columns[c].title, cells.widths[c], cells.is_text[c],
		                 c == n - 1 ? "\n" : gap);
	at = cells.text;
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		for (size_t c = 0; c < n; c++)
			at = table_print_cell(out, at, cells.widths[c], cells.is_text[c],
			                      c == n - 1 ? "\n" : gap);
	free(cells.text);
}

void table_format_age(struct json_object *value, char *buf, size_t size)
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = {{24 * 3600, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	int64_t age = json_object_get_int64(value);

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (age >= 2 * units[i].seconds || units[i].seconds == 1) {
			snprintf(buf, size, "%" PRId64 "%c", age / units[i].seconds, units[i].unit);
			return;
		}
}
