/* SPDX-License-Identifier: BSD-2-Clause */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "kern/pins.h"
#include "kern/privileges.h"

/* libbpf's own messages say nothing that our errors don't, unless someone debugs. */
__attribute__((format(printf, 2, 0))) static int print_libbpf(enum libbpf_print_level level,
                                                              const char *format, va_list args)
{
	if (level == LIBBPF_DEBUG || !getenv("REUSEPORTD_DEBUG"))
		return 0;
	return vfprintf(stderr, format, args);
}

static bool say_waiting(const char *service)
{
	fprintf(stderr, "reuseportd: waiting for another command on service '%s' to end\n",
	        service);
	return true;
}

static const struct command *find_command(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static int check_privileges(const struct command *command, struct error *err)
{
	char missing[256] = "unknown";

	if (command->unprivileged || privileges_check(missing, sizeof(missing)) == 1)
		return 0;
	return error_set(err, -1,
	                 "`%s` needs root, or the capabilities " PRIVILEGES_NEEDED "; missing: %s",
	                 command->name, missing);
}

static int run(const struct command *command, int argc, char **argv)
{
	static struct invocation invocation = {
	        .attach = {.label = RPD_FIRST_LABEL, .max_conns = RPD_CONNS_DEFAULT},
	        .timeout = -1,
	};
	static struct error err;
	const struct argp argp = {
	        .options = command_options(command),
	        .parser = command_parse,
	        .args_doc = command->args[0] ? command->args : NULL,
	        .doc = command->help,
	};
	char name[64];
	int r;

	snprintf(name, sizeof(name), "reuseportd %s", command->name);
	argv[0] = name;
	argp_err_exit_status = EXIT_USAGE;
	invocation.takes_command = command->takes_command;
	invocation.takes_file = command->run_options;
	argp_parse(&argp, argc, argv, command->takes_command ? ARGP_IN_ORDER : 0, NULL,
	           &invocation);
	r = check_privileges(command, &err);
	if (r == 0)
		r = command->run(&invocation, &err);
	if (r >= 0 && fflush(stdout) == 0 && !ferror(stdout))
		return r;
	if (r >= 0)
		error_set(&err, -EIO, "it is done, but the output can't be written: %s",
		          strerror(errno));
	fprintf(stderr, "%s: %s\n", name, err.text);
	return err.status ? err.status : EXIT_REFUSED;
}

int main(int argc, char **argv)
{
	const struct command *command = argc > 1 ? find_command(argv[1]) : NULL;

	libbpf_set_print(print_libbpf);
	pins_set_waiting(say_waiting, PINS_PATIENCE_MS);
	if (command)
		return run(command, argc - 1, argv + 1);
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		command_overview(stdout);
		return EXIT_OK;
	}
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("reuseportd %s\n", REUSEPORTD_VERSION);
		return EXIT_OK;
	}
	if (argc > 1)
		fprintf(stderr, "reuseportd: there is no command '%s'\n", argv[1]);
	command_overview(stderr);
	return EXIT_USAGE;
}
