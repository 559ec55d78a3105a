/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/view.h"

void view_json(FILE *out, struct json_object *view)
{
	fprintf(out, "%s\n",
	        json_object_to_json_string_ext(view, JSON_C_TO_STRING_PRETTY |
	                                                     JSON_C_TO_STRING_SPACED |
	                                                     JSON_C_TO_STRING_NOSLASHESCAPE));
}
