/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/json_print.h"

#include "base/cleanup.h"
#include "base/json_text.h"

static void json_print(FILE *out, struct json_object *view, int flags)
{
	_cleanup_free_ char *text = NULL;

	/* 0.1, not 0.10000000000000001 */
	json_c_set_serialization_double_format("%.6g", JSON_C_OPTION_GLOBAL);
	text = json_text_new(view, flags);
	fprintf(out, "%s\n", text);
}

void json_print_pretty(FILE *out, struct json_object *view)
{
	json_print(out, view,
	           JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
	                   JSON_C_TO_STRING_NOSLASHESCAPE);
}

void json_print_line(FILE *out, struct json_object *view)
{
	json_print(out, view, JSON_C_TO_STRING_PLAIN);
}
