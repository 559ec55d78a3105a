/* SPDX-License-Identifier: BSD-2-Clause */
/* Aligned tables. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>

/* A column shows the same member of each row. */
struct table_column {
	const char *title;
	const char *key;
	const char *suffix; /* after each number, for example "%"; NULL = none */
	/* Writes the value into @buf; NULL = as it is in JSON, with one decimal if it is real. */
	void (*format)(struct json_object *value, char *buf, size_t size);
};

/* Prints the array @rows as a table of @n columns. Numbers are right-aligned, and "-" stands for a
 * missing member. A table of more than 80 columns has less space between its columns. */
void table_print(FILE *out, struct json_object *rows, const struct table_column *columns, size_t n);

/* A table_column's format: seconds as 42s, 42m, 42h or 42d. */
void table_format_age(struct json_object *value, char *buf, size_t size);
