/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_build.h"
#include "cli/ask_supervisor.h"

int cmd_promote(struct invocation *i, struct error *err)
{
	struct json_object *request = ask_supervisor_new_request(i, "promote");

	if (i->full)
		json_build_flag(request, "full", true);
	return ask_supervisor_about_deployment(i, request, err);
}
