/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_build.h"
#include "base/parse.h"
#include "cli/ask_supervisor.h"
#include "cli/positional.h"

int cmd_scale(struct invocation *i, struct error *err)
{
	struct json_object *request;
	struct supervised supervised;
	long workers;
	int r;

	if (i->n_args == 0)
		return error_usage(err, "name the number of workers");
	if (parse_long(i->args[--i->n_args], 1, RPD_SLOT_MAX, &workers) < 0)
		return error_usage(err, "'%s' is not a number of workers: it must be 1 to %d",
		                   i->args[i->n_args], RPD_SLOT_MAX);
	r = positional_take_service(i, err);
	if (r == 0)
		r = ask_supervisor_find(i, &supervised, err);
	if (r < 0)
		return r;
	request = ask_supervisor_new_request(i, "scale");
	json_build_number(request, "workers", workers);
	return ask_supervisor_send(i, supervised.service, request, err);
}
