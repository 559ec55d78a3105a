/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/answer.h"

#include "view/escape_view.h"
#include "view/json_print.h"

void answer_print(struct json_object *view, bool json, void (*print)(FILE *, struct json_object *))
{
	if (!json)
		escape_view(view);
	(json ? json_print_pretty : print)(stdout, view);
	json_object_put(view);
}
