/* SPDX-License-Identifier: BSD-2-Clause */
/* `check`: what `run` would make of a file. */
#include <errno.h>
#include <stdio.h>

#include "base/strv.h"
#include "cli/command.h"
#include "view/view.h"

static struct json_object *cmd_check_view_config(const struct run_config *config)
{
	struct json_object *view = json_object_new_object();
	struct json_object *argv = json_object_new_array();

	for (char **word = config->argv; *word; word++)
		json_object_array_add(argv, json_object_new_string(*word));
	json_object_object_add(view, "service", json_object_new_string(config->service));
	json_object_object_add(view, "workers", json_object_new_int(config->workers));
	json_object_object_add(view, "command", argv);
	return view;
}

static struct json_object *cmd_check_view_problem(const struct problem *problem)
{
	struct json_object *view = json_object_new_object();

	if (problem->line)
		json_object_object_add(view, "line", json_object_new_int(problem->line));
	json_object_object_add(view, "severity",
	                       json_object_new_string(problem->warning ? "warning" : "error"));
	json_object_object_add(
	        view, "text",
	        json_object_new_string(problem->text ? problem->text : "out of memory"));
	return view;
}

static void cmd_check_print_json(const struct load_result *loaded)
{
	struct json_object *view = json_object_new_object();
	struct json_object *services = json_object_new_array();
	struct json_object *problems = json_object_new_array();
	const bool ok = !loaded->problems.n_errors;

	for (size_t i = 0; ok && i < loaded->n; i++)
		json_object_array_add(services, cmd_check_view_config(&loaded->configs[i]));
	for (size_t i = 0; i < loaded->problems.n; i++)
		json_object_array_add(problems, cmd_check_view_problem(&loaded->problems.list[i]));
	json_object_object_add(view, "file", json_object_new_string(loaded->problems.file));
	json_object_object_add(view, "ok", json_object_new_boolean(ok));
	json_object_object_add(view, "services", services);
	json_object_object_add(view, "problems", problems);
	view_json(stdout, view);
	json_object_put(view);
}

static void cmd_check_print_text(const struct load_result *loaded)
{
	for (size_t i = 0; i < loaded->n; i++) {
		const struct run_config *config = &loaded->configs[i];

		printf("%s: %u worker%s:", config->service, config->workers,
		       config->workers > 1 ? "s" : "");
		for (char **word = config->argv; *word; word++)
			printf(" %s", *word);
		printf("\n");
	}
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
		return r; /* there was nothing to look at */
	if (i->json) {
		cmd_check_print_json(&loaded);
	} else {
		problems_print(stderr, &loaded.problems, true, true);
		if (r == 0)
			cmd_check_print_text(&loaded);
	}
	return r < 0 ? EXIT_USAGE : EXIT_OK;
}
