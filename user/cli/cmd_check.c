/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/command.h"
#include "config/args.h"
#include "view/answer.h"
#include "view/check_view.h"

/* What `run` would make of the file. Services that have an error are left out. */
static struct json_object *cmd_check_view(const struct load_result *loaded)
{
	const struct problems *problems = &loaded->problems;
	struct json_object *view = check_view_new(problems->file, problems->n_errors == 0);

	for (size_t i = 0; problems->n_errors == 0 && i < loaded->n; i++)
		check_view_add_service(view, &loaded->configs[i]);
	for (size_t i = 0; i < problems->n; i++) {
		const struct problem *problem = &problems->list[i];

		check_view_add_problem(view, problem->line, problem->warning,
		                       problem->text ? problem->text : "out of memory");
	}
	return view;
}

int cmd_check(struct invocation *i, struct error *err)
{
	_cleanup_load_result_ struct load_result loaded = {};
	int r;

	if (i->n_args != 1)
		return error_usage(err, "name one file");
	i->run.file = i->args[0];
	r = args_load(&i->run, &loaded, err);
	if (r < 0 && !loaded.problems.n_errors)
		return r; /* the file could not be read */
	if (!i->json)
		problems_print(stderr, &loaded.problems, true, true);
	answer_print(cmd_check_view(&loaded), i->json, check_view_print);
	return r < 0 ? EXIT_USAGE : EXIT_OK;
}
