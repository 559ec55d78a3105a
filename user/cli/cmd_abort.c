/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_build.h"
#include "cli/ask_supervisor.h"

int cmd_abort(struct invocation *i, struct error *err)
{
	struct json_object *request = ask_supervisor_new_request(i, "abort");

	if (i->why)
		json_build_text(request, "why", i->why);
	return ask_supervisor_about_deployment(i, request, err);
}
