/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_build.h"
#include "cli/ask_supervisor.h"

int cmd_rollback(struct invocation *i, struct error *err)
{
	struct json_object *request = ask_supervisor_new_request(i, "rollback");

	if (i->to)
		json_build_text(request, "to", i->to);
	return ask_supervisor_about_deployment(i, request, err);
}
