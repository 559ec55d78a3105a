/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/table.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_read.h"

#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_MAX    128
#define TABLE_WIDTH       80

static const char *table_cell(struct json_object *row, const struct table_column *column,
                              char buf[TABLE_CELL_MAX])
{
	struct json_object *value = json_read_value(row, column->key);

	if (!value)
		return "-";
	if (column->format) {
		column->format(value, buf, TABLE_CELL_MAX);
		return buf;
	}
	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value) ? "yes" : "no";
	if (json_object_is_type(value, json_type_double))
		snprintf(buf, TABLE_CELL_MAX, "%.1f%s", json_object_get_double(value),
		         column->suffix ? column->suffix : "");
	else
		snprintf(buf, TABLE_CELL_MAX, "%s%s", json_read_as_text(value),
		         column->suffix ? column->suffix : "");
	return buf;
}

static bool table_is_number(struct json_object *rows, const struct table_column *column)
{
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		struct json_object *value = json_read_value(row, column->key);

		if (value && json_object_is_type(value, json_type_string))
			return false;
	}
	return true;
}

/* Text in the last column is not padded, so that no line ends with spaces. */
static void table_print_cell(FILE *out, const char *text, int width, bool number, const char *gap)
{
	if (number)
		fprintf(out, "%*s%s", width, text, gap);
	else if (gap[0] == '\n')
		fprintf(out, "%s\n", text);
	else
		fprintf(out, "%-*s%s", width, text, gap);
}

void table_print(FILE *out, struct json_object *rows, const struct table_column *columns, size_t n)
{
	size_t n_rows = json_object_array_length(rows);
	int widths[TABLE_COLUMNS_MAX];
	bool number[TABLE_COLUMNS_MAX];
	char buf[TABLE_CELL_MAX];
	int total = 2 * (int)(n - 1);
	const char *gap;

	for (size_t c = 0; c < n; c++) {
		number[c] = table_is_number(rows, &columns[c]);
		widths[c] = strlen(columns[c].title);
		for (size_t i = 0; i < n_rows; i++) {
			struct json_object *row = json_object_array_get_idx(rows, i);
			int width = strlen(table_cell(row, &columns[c], buf));

			if (width > widths[c])
				widths[c] = width;
		}
		total += widths[c];
	}
	gap = total > TABLE_WIDTH ? " " : "  ";
	for (size_t c = 0; c < n; c++)
		table_print_cell(out, columns[c].title, widths[c], number[c],
		                 c == n - 1 ? "\n" : gap);
	for (size_t i = 0; i < n_rows; i++)
		for (size_t c = 0; c < n; c++)
			table_print_cell(
			        out,
			        table_cell(json_object_array_get_idx(rows, i), &columns[c], buf),
			        widths[c], number[c], c == n - 1 ? "\n" : gap);
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
