/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines, a word in each line. The first word is the command. */
#include <argp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/command_line.h"
#include "cli/positional.h"
#include "config/ini.h"
#include "config/pm2.h"
#include "config_checks.h"
#include "fuzz.h"

#define WORDS_MAX 4096

error_t __real_argp_parse(const struct argp *argp, int argc, char **argv, unsigned flags, int *at,
                          void *input);
error_t __wrap_argp_parse(const struct argp *argp, int argc, char **argv, unsigned flags, int *at,
                          void *input);
void __wrap_load_host_problems(const struct run_config *config,
                               void (*report)(void *data, const char *option, const char *text),
                               void *data);
int __wrap_load_environment(struct load_result *loaded, const char **ret_option, struct error *err);
int __wrap_pins_list_services(char (**ret)[RPD_LABEL_MAX], size_t *ret_n, struct error *err);
int __wrap_ini_load(const struct load_file *file, struct load_result *ret, struct error *err);
int __wrap_pm2_load(const struct load_file *file, struct load_result *ret, struct error *err);

static bool wrong; /* the last command line */

/* An error does not end the process. */
error_t __wrap_argp_parse(const struct argp *argp, int argc, char **argv, unsigned flags, int *at,
                          void *input)
{
	const error_t r = __real_argp_parse(argp, argc, argv, flags | ARGP_SILENT, at, input);

	wrong = r != 0;
	return r;
}

void __wrap_load_host_problems(const struct run_config *config,
                               void (*report)(void *data, const char *option, const char *text),
                               void *data)
{
}

int __wrap_load_environment(struct load_result *loaded, const char **ret_option, struct error *err)
{
	return 0;
}

int __wrap_ini_load(const struct load_file *file, struct load_result *ret, struct error *err)
{
	return error_usage(err, "there is no file");
}

int __wrap_pins_list_services(char (**ret)[RPD_LABEL_MAX], size_t *ret_n, struct error *err)
{
	*ret = calloc(1, sizeof(**ret));
	*ret_n = *ret != NULL;
	if (*ret)
		memcpy(**ret, "p-a", sizeof("p-a"));
	return 0;
}

int __wrap_pm2_load(const struct load_file *file, struct load_result *ret, struct error *err)
{
	return error_usage(err, "there is no file");
}

static void check_run(const struct args *args)
{
	struct load_result loaded = {};
	struct error err;
	const int r = args_load(args, &loaded, &err);

	FUZZ_CHECK(r < 0 || !loaded.problems.n_errors);
	FUZZ_CHECK(r == 0 || strlen(err.text) < ERROR_TEXT_MAX);
	if (r == 0)
		config_checks_result(&loaded, 0);
	load_free(&loaded);
}

static void check_positional(struct invocation *invocation)
{
	static struct slots slots;
	struct error err;
	const int keep = (int)(invocation->n_args ? strlen(invocation->args[0]) % 2 : 0);

	if (positional_take_slots(invocation, keep, &slots, &err) == 0)
		FUZZ_CHECK(slots.n >= 1 && invocation->n_args == keep);
	else
		positional_take_service(invocation, &err);
}

static void run(const char *text, size_t size)
{
	static struct invocation invocation;
	static char *argv[WORDS_MAX + 1];
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy, *word;
	const struct command *command;
	int argc = 0;

	while (argc < WORDS_MAX && (word = strsep(&rest, "\n")))
		argv[argc++] = word;
	argv[argc] = NULL;
	command = command_find(argv[0]);
	if (!command)
		return;
	command_line_parse(command, argc, argv, &invocation);
	FUZZ_CHECK(invocation.n_args >= 0 && invocation.n_args <= INVOCATION_ARGS_MAX);
	FUZZ_CHECK(invocation.n_fds <= INVOCATION_FDS_MAX);
	if (!wrong && command->run_options)
		check_run(&invocation.run);
	else if (!wrong)
		check_positional(&invocation);
	args_free(&invocation.run);
}

const struct fuzz_target fuzz_target = {run, 128};
