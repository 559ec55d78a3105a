/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/positional.h"

#include <string.h>

#include "base/cleanup.h"
#include "cli/service_argument.h"

static void positional_drop_first(struct invocation *i)
{
	memmove(i->args, i->args + 1, --i->n_args * sizeof(i->args[0]));
}

static int positional_set_service(struct invocation *i, struct error *err)
{
	const char *given = i->args[0];

	if (i->service)
		return error_usage(err, "the service is named twice: '%s' and '%s'", i->service,
		                   given);
	positional_drop_first(i);
	return service_argument_find(given, &i->service, err);
}

int positional_take_service(struct invocation *i, struct error *err)
{
	int r = i->n_args ? positional_set_service(i, err) : 0;

	if (r == 0 && i->n_args)
		return error_usage(err, "'%s' is one argument too many; see --help", i->args[0]);
	return r;
}

int positional_take_slots(struct invocation *i, int keep, struct slots *ret, struct error *err)
{
	int r = 0;

	ret->n = 0;
	if (i->n_args > keep && !slots_is_list(i->args[0]))
		r = positional_set_service(i, err);
	while (r == 0 && i->n_args > keep) {
		r = slots_parse(ret, i->args[0], err);
		positional_drop_first(i);
	}
	if (r == 0 && ret->n == 0 && !keep)
		return error_usage(err, "name the slots, for example 3 or 0-3,7");
	if (r == 0 && (ret->n == 0 || i->n_args < keep))
		return error_usage(err, "an argument is missing; see --help");
	return r;
}
