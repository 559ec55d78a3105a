/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "view/view.h"

struct json_object *view_checks(const struct checks *checks)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < checks->n; i++) {
		const struct check *check = &checks->rows[i];
		struct json_object *view = json_object_new_object();

		json_object_object_add(view, "check", json_object_new_string(check->name));
		json_object_object_add(view, "verdict",
		                       json_object_new_string(verdict_name(check->verdict)));
		json_object_object_add(view, "detail", json_object_new_string(check->detail));
		if (check->advice[0])
			json_object_object_add(view, "advice",
			                       json_object_new_string(check->advice));
		json_object_array_add(array, view);
	}
	return array;
}

/* Wraps @text at 80 columns behind an indent of @indent; the first line begins at the cursor. */
static void print_wrapped(FILE *out, const char *text, int indent)
{
	int column = indent;

	while (*text) {
		int word = strcspn(text, " ");

		if (column > indent && column + 1 + word > 80) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", word, text);
		column += word;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void view_checks_text(FILE *out, struct json_object *checks)
{
	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		struct json_object *row = json_object_array_get_idx(checks, i);
		struct json_object *advice = json_object_object_get(row, "advice");

		fprintf(out, "%-4s  %-24s  ",
		        json_object_get_string(json_object_object_get(row, "verdict")),
		        json_object_get_string(json_object_object_get(row, "check")));
		print_wrapped(out, json_object_get_string(json_object_object_get(row, "detail")),
		              32);
		if (advice) {
			fprintf(out, "%32s", "-> ");
			print_wrapped(out, json_object_get_string(advice), 32);
		}
	}
}
