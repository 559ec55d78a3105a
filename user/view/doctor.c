/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "view/view.h"

struct json_object *view_checks(const struct doctor_checks *checks)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < checks->n; i++) {
		const struct check *check = &checks->rows[i];
		struct json_object *view = json_object_new_object();

		json_object_object_add(view, "check", json_object_new_string(check->name));
		json_object_object_add(
		        view, "verdict",
		        json_object_new_string(doctor_checks_verdict_name(check->verdict)));
		json_object_object_add(view, "detail", json_object_new_string(check->detail));
		if (check->advice[0])
			json_object_object_add(view, "advice",
			                       json_object_new_string(check->advice));
		json_object_array_add(array, view);
	}
	return array;
}

void view_checks_text(FILE *out, struct json_object *checks)
{
	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		struct json_object *row = json_object_array_get_idx(checks, i);
		struct json_object *advice = json_object_object_get(row, "advice");

		int at = fprintf(out, "%-4s  %-24s  ",
		                 json_object_get_string(json_object_object_get(row, "verdict")),
		                 json_object_get_string(json_object_object_get(row, "check")));

		text_wrap(out, json_object_get_string(json_object_object_get(row, "detail")), at,
		          32);
		if (advice) {
			fprintf(out, "%32s", "-> ");
			text_wrap(out, json_object_get_string(advice), 32, 32);
		}
	}
}
