/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "config/file_user.h"
#include "config/ini.h"
#include "config/pm2.h"
#include "config/run_option.h"
#include "kern/credentials.h"
#include "kern/cpu_count.h"
#include "kern/working_dir.h"

int args_add(struct args *args, const char *name, const char *value)
{
	struct args_option *options =
	        realloc(args->options, (args->n_options + 1) * sizeof(*args->options));

	if (!options)
		return -ENOMEM;
	args->options = options;
	options[args->n_options++] = (struct args_option){.name = name, .value = value};
	return 0;
}

void args_free(struct args *args)
{
	free(args->options);
	*args = (struct args){};
}

static void args_report(void *data, const char *option, const char *text)
{
	problems_add(data, 0, "%s%s%s%s", option ? "--" : "", option ? option : "",
	             option ? ": " : "", text);
}

/* A configuration from options and a command. */
static int args_load_command(const struct args *args, struct load_result *ret, struct error *err)
{
	struct problems *problems = &ret->problems;
	struct run_config *config = load_add(ret);
	const unsigned int n_cpus = cpu_count();
	const char *option;
	struct error why;

	if (args->only)
		problems_add(problems, 0, "--only needs a file with several services");
	if (!config || strv_copy(args->command, &config->argv) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < args->n_options; i++) {
		const struct args_option *given = &args->options[i];

		if (run_option_set(config, given->name, given->value, n_cpus, &why) < 0)
			problems_add(problems, 0, "--%s", why.text);
	}
	/* An option that was refused can make others look wrong. */
	if (!problems->n_errors) {
		run_config_report_problems(config, args_report, problems);
		load_host_problems(config, args_report, problems);
	}
	if (!problems->n_errors && load_environment(ret, &option, &why) < 0)
		problems_add(problems, 0, "--%s: %s", option, why.text);
	if (!problems->n_errors)
		run_config_set_default_name(config);
	return problems_error(problems, err);
}

/* With a file, few options of run_option.h may be given: --user and --group, which take precedence
 * over the file, and --env with another meaning. */
static int args_file_options(const struct args *args, struct load_file *file, struct error *err)
{
	for (size_t i = 0; i < args->n_options; i++) {
		const struct args_option *given = &args->options[i];

		if (!strcmp(given->name, "user") || !strcmp(given->name, "group")) {
			*(given->name[0] == 'u' ? &file->user : &file->group) = given->value;
			continue;
		}
		if (strcmp(given->name, "env") != 0)
			return error_usage(err,
			                   "--%s: with a file, set this option in '%s'; a command "
			                   "needs -- before it",
			                   given->name, args->file);
		if (strchr(given->value, '='))
			return error_usage(err, "--env %s: with a file, set variables in '%s'",
			                   given->value, args->file);
		file->env = given->value;
	}
	return file->group && !file->user
	               ? error_usage(err,
	                             "--group: with a file, give --user as well, or set this "
	                             "option in '%s'",
	                             args->file)
	               : 0;
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

/* The path in the working directory as the user has given it, if it is relative. Returns @path if
 * there is nothing to do, else a text for free(). NULL if memory is short. */
static char *args_follow_links(char *path)
{
	const char *folder = working_dir_as_given();
	char *joined;

	if (!folder || (path && path[0] == '/'))
		return path;
	if (asprintf(&joined, "%s%s%s", folder, path ? "/" : "", path ? path : "") < 0)
		return NULL;
	return joined;
}

/* Workers run in the working directory as the user has given it, and their log files are there. */
static int args_set_folders(struct load_result *loaded, struct error *err)
{
	for (size_t i = 0; i < loaded->n && working_dir_as_given(); i++) {
		struct run_config *config = &loaded->configs[i];
		char **const paths[] = {&config->cwd, &config->out_file, &config->error_file,
		                        &config->log_file};

		for (size_t p = 0; p < ARRAY_SIZE(paths); p++) {
			char *path = p && !*paths[p] ? NULL : args_follow_links(*paths[p]);

			if (!path && (*paths[p] || !p))
				return error_set(err, -ENOMEM, "out of memory");
			if (path != *paths[p])
				free(*paths[p]);
			*paths[p] = path;
		}
	}
	return 0;
}

static int args_load_file(const struct args *args, struct load_file *file, struct load_result *ret,
                          struct error *err)
{
	static const char *const pm2[] = {".js", ".cjs", ".mjs", ".json", ".json5", ".jsonc", NULL};
	static const char *const yaml[] = {".yml", ".yaml", NULL};
	static const char *const typescript[] = {".ts", ".mts", ".cts", NULL};
	struct file_owner owner;
	int r = args_file_options(args, file, err);

	if (r < 0)
		return r;
	if (args_is_one_of(file->path, yaml))
		return error_usage(
		        err,
		        "can't read YAML: convert '%s' to JSON, for example with the npm "
		        "package js-yaml, or write it as .config.js or as a configuration "
		        "file of reuseportd",
		        file->path);
	if (args_is_one_of(file->path, typescript))
		return error_usage(err, "can't read TypeScript: write '%s' as .config.js",
		                   file->path);
	r = file_user_find_owner(file, &owner, err);
	if (r < 0)
		return r;
	if (args_is_one_of(file->path, pm2)) {
		r = pm2_load(file, ret, err);
	} else if (file->env) {
		return error_usage(err, "--env %s: only an ecosystem.config.js can have env_%s",
		                   file->env, file->env);
	} else {
		r = ini_load(file, ret, err);
	}
	if (r < 0)
		return r;
	return problems_error(&ret->problems, err);
}

static int args_load_any(const struct args *args, struct load_result *ret, struct error *err)
{
	struct load_file file = {
	        .path = args->file,
	        .only = args->only,
	        .n_cpus = cpu_count(),
	        .keep_faulty = args->keep_faulty,
	};
	_cleanup_free_ char *path = NULL;
	int r;

	*ret = (struct load_result){.problems.file = args->file};
	if (!args->file == !args->command)
		return error_usage(err, "give either a file or `-- COMMAND ARGUMENT...`");
	if (args->file && args->file[0] != '/' && working_dir_as_given()) {
		path = args_follow_links((char *)args->file);
		if (!path)
			return error_set(err, -ENOMEM, "out of memory");
		file.path = path;
	}
	r = args->command ? args_load_command(args, ret, err)
	                  : args_load_file(args, &file, ret, err);
	return r < 0 ? r : args_set_folders(ret, err);
}

int args_load(const struct args *args, struct load_result *ret, struct error *err)
{
	const int r = args_load_any(args, ret, err);

	/* Here, because the user database may be on another host, and a supervisor can't wait for
	 * it. */
	for (size_t i = 0; r == 0 && i < ret->n; i++) {
		struct run_config *config = &ret->configs[i];

		free(config->identity);
		config->identity = credentials_format(config->user, config->group);
	}
	return r;
}
