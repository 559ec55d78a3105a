/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/command.h"
#include "service/service_each.h"
#include "view/answer.h"
#include "view/list_read.h"
#include "view/list_view.h"

int cmd_list(struct invocation *i, struct error *err)
{
	struct json_object *view;
	int r;

	if (i->n_args)
		return error_usage(err, "`list` takes no argument");
	view = list_view_new();
	r = service_each(list_read_add, view, 0, err);
	if (r < 0)
		json_object_put(view);
	else
		answer_print(view, i->json, list_view_print);
	return r;
}
