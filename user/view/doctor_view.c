/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/doctor_view.h"

#include "base/json_build.h"
#include "base/json_read.h"
#include "core/doctor_checks.h"
#include "view/wrap.h"

#define DOCTOR_VIEW_TEXT_AT 32 /* the column of detail and advice */

struct json_object *doctor_view_new(const struct doctor_checks *checks)
{
	struct json_object *view = json_build_new_array();

	for (size_t i = 0; i < checks->n; i++) {
		const struct check *check = &checks->rows[i];
		struct json_object *row = json_build_row(view);

		json_build_text(row, "check", check->name);
		json_build_text(row, "verdict", doctor_checks_verdict_name(check->verdict));
		json_build_text(row, "detail", check->detail);
		if (check->advice[0])
			json_build_text(row, "advice", check->advice);
	}
	return view;
}

void doctor_view_print(FILE *out, struct json_object *view)
{
	for (size_t i = 0; i < json_object_array_length(view); i++) {
		struct json_object *row = json_object_array_get_idx(view, i);
		const char *advice = json_read_text(row, "advice");
		int at = fprintf(out, "%-4s  %-24s  ", json_read_text(row, "verdict"),
		                 json_read_text(row, "check"));

		wrap_print(out, json_read_text(row, "detail"), at, DOCTOR_VIEW_TEXT_AT);
		if (!advice)
			continue;
		fprintf(out, "%*s", DOCTOR_VIEW_TEXT_AT, "-> ");
		wrap_print(out, advice, DOCTOR_VIEW_TEXT_AT, DOCTOR_VIEW_TEXT_AT);
	}
}
