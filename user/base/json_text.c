/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/memory.h"

#define REPLACEMENT 0xfffd

static void json_text_write_string(FILE *out, const char *text)
{
	fputc('"', out);
	while (*text) {
		uint32_t c;
		const size_t n = escape_read(text, &c);

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", (char)c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == ESCAPE_NO_CHARACTER)
			fprintf(out, "\\u%04x", REPLACEMENT);
		else if (escape_is_control(c)) /* all of them have four digits */
			fprintf(out, "\\u%04" PRIx32, c);
		else
			fwrite(text, 1, n, out);
		text += n;
	}
	fputc('"', out);
}

/* Begins a member of an object or array, or with @last its end, at @depth levels. */
static void json_text_break(FILE *out, enum json_text form, int depth, bool comma)
{
	if (comma)
		fputc(',', out);
	if (form == JSON_TEXT_PRETTY)
		fprintf(out, "\n%*s", 2 * depth, "");
}

static void json_text_write(FILE *out, struct json_object *value, enum json_text form, int depth);

static void json_text_write_object(FILE *out, struct json_object *object, enum json_text form,
                                   int depth)
{
	size_t n = 0;

	fputc('{', out);
	json_object_object_foreach(object, key, value)
	{
		json_text_break(out, form, depth + 1, n++ > 0);
		json_text_write_string(out, key);
		fputs(form == JSON_TEXT_PRETTY ? ": " : ":", out);
		json_text_write(out, value, form, depth + 1);
	}
	if (n)
		json_text_break(out, form, depth, false);
	fputc('}', out);
}

static void json_text_write_array(FILE *out, struct json_object *array, enum json_text form,
                                  int depth)
{
	const size_t n = json_object_array_length(array);

	fputc('[', out);
	for (size_t i = 0; i < n; i++) {
		json_text_break(out, form, depth + 1, i > 0);
		json_text_write(out, json_object_array_get_idx(array, i), form, depth + 1);
	}
	if (n)
		json_text_break(out, form, depth, false);
	fputc(']', out);
}

static void json_text_write(FILE *out, struct json_object *value, enum json_text form, int depth)
{
	switch (json_object_get_type(value)) {
	case json_type_object:
		json_text_write_object(out, value, form, depth);
		break;
	case json_type_array:
		json_text_write_array(out, value, form, depth);
		break;
	case json_type_string:
		json_text_write_string(out, json_object_get_string(value));
		break;
	case json_type_int:
		fprintf(out, "%" PRId64, json_object_get_int64(value));
		break;
	case json_type_double: /* with the format that was set for it */
		fputs(memory_need((char *)json_object_to_json_string_ext(value,
		                                                         JSON_C_TO_STRING_PLAIN)),
		      out);
		break;
	case json_type_boolean:
		fputs(json_object_get_boolean(value) ? "true" : "false", out);
		break;
	case json_type_null:
		fputs("null", out);
		break;
	}
}

void json_text_print(FILE *out, struct json_object *object, enum json_text form)
{
	json_text_write(out, object, form, 0);
}

char *json_text_new(struct json_object *object)
{
	char *text = NULL;
	size_t n;
	FILE *out = memory_need(open_memstream(&text, &n));

	json_text_print(out, object, JSON_TEXT_LINE);
	return memory_need(memory_close_text(out, &text));
}
