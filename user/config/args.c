/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/args.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "config/ini.h"
#include "config/pm2.h"

const struct argp_option *args_options(const struct argp_option *more)
{
	static struct argp_option options[RUN_OPTION_MAX + 8];
	size_t n = 0;

	for (; run_options[n].name; n++)
		options[n] = (struct argp_option){.name = run_options[n].name,
		                                  .key = ARGS_KEY + n,
		                                  .arg = run_options[n].argument,
		                                  .doc = run_options[n].help};
	while (more->name)
		options[n++] = *more++;
	options[n] = (struct argp_option){0};
	return options;
}

int args_add(struct args *args, int key, const char *value)
{
	struct run_given *given = realloc(args->given, (args->n_given + 1) * sizeof(*args->given));

	if (!given)
		return -ENOMEM;
	args->given = given;
	given[args->n_given++] =
	        (struct run_given){.name = run_options[key - ARGS_KEY].name, .value = value};
	return 0;
}

void args_free(struct args *args)
{
	free(args->given);
	*args = (struct args){};
}

/* CPUs that we may run on. */
static unsigned int args_count_cpus(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
}

static void args_report(void *data, const char *option, const char *text)
{
	problem_add(data, 0, "%s%s%s%s", option ? "--" : "", option ? option : "",
	            option ? ": " : "", text);
}

/* From options and a command. */
static int args_load_command(const struct args *args, struct load_result *ret, struct error *err)
{
	struct problems *problems = &ret->problems;
	struct run_config *config = load_add(ret);
	const unsigned int n_cpus = args_count_cpus();

	if (args->only)
		problem_add(problems, 0, "--only is for a file with several services");
	if (!config || strv_copy(args->command, &config->argv) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < args->n_given; i++) {
		const struct run_given *given = &args->given[i];

		if (run_option_set(config, given->name, given->value, n_cpus, err) < 0)
			problem_add(problems, 0, "--%s", err->text);
	}
	/* Of what is wrong by itself, what comes of it needs not be told. */
	if (!problems->n_errors) {
		run_config_report_problems(config, args_report, problems);
		load_host_problems(config, args_report, problems);
	}
	if (!problems->n_errors && load_env_files(config, err) < 0)
		problem_add(problems, 0, "--env-file: %s", err->text);
	if (!problems->n_errors)
		run_config_set_default_name(config);
	return problems_error(problems, err);
}

/* Of the options only --env is for files, and there it means another thing. */
static int args_file_options(const struct args *args, struct load_file *file, struct error *err)
{
	for (size_t i = 0; i < args->n_given; i++) {
		const struct run_given *given = &args->given[i];

		if (strcmp(given->name, "env") != 0)
			return error_usage(err, "--%s belongs into '%s'", given->name, args->file);
		if (strchr(given->value, '='))
			return error_usage(err, "--env %s belongs into '%s'", given->value,
			                   args->file);
		file->env = given->value;
	}
	return 0;
}

static bool args_ends_in(const char *text, const char *end)
{
	const size_t n = strlen(text), n_end = strlen(end);

	return n >= n_end && !strcmp(text + n - n_end, end);
}

static bool args_is_one_of(const char *path, const char *const *ends)
{
	while (*ends && !args_ends_in(path, *ends))
		ends++;
	return *ends;
}

/* Each name of --only must be of something that is there; names are there once. */
static void args_check_only(const struct load_file *file, struct load_result *loaded)
{
	size_t n = 1;

	if (!file->only || loaded->problems.n_errors)
		return;
	for (const char *at = file->only; *at; at++)
		n += *at == ',';
	if (loaded->n != n)
		problem_add(&loaded->problems, 0, "--only %s: %s", file->only,
		            n == 1 ? "there is nothing of that name"
		                   : "there is not one of each of these names");
}

int args_load(const struct args *args, struct load_result *ret, struct error *err)
{
	static const char *const pm2[] = {".js", ".cjs", ".mjs", ".json", NULL};
	static const char *const yaml[] = {".yml", ".yaml", NULL};
	struct load_file file = {
	        .path = args->file, .only = args->only, .n_cpus = args_count_cpus()};
	int r;

	*ret = (struct load_result){.problems.file = args->file};
	if (!args->file == !args->command)
		return error_usage(err, "give a file, or `-- COMMAND ARGUMENT...`");
	if (args->command)
		return args_load_command(args, ret, err);
	r = args_file_options(args, &file, err);
	if (r < 0)
		return r;
	if (args_is_one_of(file.path, yaml))
		return error_usage(err,
		                   "'%s': YAML can't be read; write it as .json or .config.js, or "
		                   "as a file of reuseportd",
		                   file.path);
	if (args_is_one_of(file.path, pm2)) {
		r = pm2_load(&file, ret, err);
	} else if (file.env) {
		return error_usage(err, "--env %s is for the env_%s of an ecosystem.config.js",
		                   file.env, file.env);
	} else {
		r = ini_load(&file, ret, err);
	}
	if (r < 0)
		return r;
	args_check_only(&file, ret);
	return problems_error(&ret->problems, err);
}
