/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON of another process: members of any type are read, and shown as a table. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/json_limit.h"
#include "base/json_read.h"
#include "base/json_text.h"
#include "fuzz.h"
#include "view/json_print.h"
#include "view/table.h"

static void read_member(struct json_object *of, const char *key)
{
	const char *text = json_read_text(of, key);

	FUZZ_CHECK(!text || strlen(text) <= 64u << 20);
	json_read_number(of, key);
	json_read_real(of, key);
	json_read_flag(of, key);
	json_read_length(of, key);
	json_read_value(json_read_value(of, key), key);
}

static void print(struct json_object *value)
{
	static const struct table_column columns[] = {
	        {"A", "a"}, {"B", "b", "%"}, {"AGE", "age", .format = table_format_age}};
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	json_print_line(out, value);
	json_print_pretty(out, value);
	if (json_object_is_type(value, json_type_array))
		table_print(out, value, columns, ARRAY_SIZE(columns));
	fclose(out);
}

/* What is written as JSON is JSON, in plain characters. */
static void check_text(struct json_object *value)
{
	_cleanup_free_ char *text = json_text_new(value);
	enum json_tokener_error error;
	struct json_object *again = json_tokener_parse_verbose(text, &error);
	uint32_t c;

	FUZZ_CHECK(error == json_tokener_success);
	for (const char *at = text; *at; at += escape_read(at, &c)) {
		escape_read(at, &c);
		FUZZ_CHECK(!escape_is_control(c));
	}
	json_object_put(again);
}

static void run(const char *text, size_t size)
{
	struct json_object *value = json_limit_allows(text, size) ? json_tokener_parse(text) : NULL;

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
		{
			(void)member;
			read_member(value, key);
		}
	}
	read_member(value, "a");
	print(value);
	if (value)
		check_text(value);
	json_object_put(value);
}

const struct fuzz_target fuzz_target = {run, 96};
