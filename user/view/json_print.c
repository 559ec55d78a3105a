/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/json_print.h"

#include "base/json_text.h"

static void json_print(FILE *out, struct json_object *view, enum json_text form)
{
	/* 0.1, not 0.10000000000000001 */
	json_c_set_serialization_double_format("%.6g", JSON_C_OPTION_GLOBAL);
	json_text_print(out, view, form);
	fputc('\n', out);
}

void json_print_pretty(FILE *out, struct json_object *view)
{
	json_print(out, view, JSON_TEXT_PRETTY);
}

void json_print_line(FILE *out, struct json_object *view)
{
	json_print(out, view, JSON_TEXT_LINE);
}
