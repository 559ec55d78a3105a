/* SPDX-License-Identifier: BSD-2-Clause */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/command_overview.h"
#include "kern/pins.h"
#include "kern/privileges.h"
#include "stream/log_process.h"
#include "supervise/reexec_check.h"

/* Our own errors are complete; libbpf's messages are only for debugging. */
__attribute__((format(printf, 2, 0))) static int main_print_libbpf(enum libbpf_print_level level,
                                                                   const char *format, va_list args)
{
	if (level == LIBBPF_DEBUG || !getenv("REUSEPORTD_DEBUG"))
		return 0;
	return vfprintf(stderr, format, args);
}

static bool main_report_waiting(const char *service)
{
	fprintf(stderr, "reuseportd: waiting for another command on service '%s' to end\n",
	        service);
	return true;
}

static int main_check_privileges(const struct command *command, struct error *err)
{
	char missing[256] = "unknown";

	if (command->unprivileged || privileges_check(missing, sizeof(missing)) == 1)
		return 0;
	return error_set(err, -1,
	                 "`%s` needs root, or the capabilities " PRIVILEGES_NEEDED "; missing: %s",
	                 command->name, missing);
}

static int main_run(const struct command *command, int argc, char **argv)
{
	static struct invocation invocation;
	static struct error err;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "reuseportd %s", command->name);
	argv[0] = name;
	command_line_parse(command, argc, argv, &invocation);
	r = main_check_privileges(command, &err);
	if (r == 0)
		r = command->run(&invocation, &err);
	if (r >= 0 && fflush(stdout) == 0 && !ferror(stdout))
		return r;
	if (r >= 0)
		error_set(&err, -EIO, "the command is done, but its output can't be written: %s",
		          strerror(errno));
	escape_print_line(stderr, "%s: %s", name, err.text);
	return err.status ? err.status : EXIT_REFUSED;
}

/* What the caller may have left. Another file would be opened in place of a closed stream, and get
 * our output. What replaces it can't be used either: /dev/null, opened the wrong way. */
static void main_reset_process(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			exit(EXIT_REFUSED);
	signal(SIGCHLD, SIG_DFL); /* if it is ignored, children can't be waited for */
	signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit of files' size fails */
}

int main(int argc, char **argv)
{
	const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;

	main_reset_process();
	libbpf_set_print(main_print_libbpf);
	pins_set_waiting(main_report_waiting, PINS_PATIENCE_MS);
	if (command)
		return main_run(command, argc - 1, argv + 1);
	if (argc == 3 && !strcmp(argv[1], "log-process") && log_process_is_one())
		return log_process_main(argv[2]);
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		command_overview(stdout);
		return EXIT_OK;
	}
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("reuseportd %s\n", REUSEPORTD_VERSION);
		return EXIT_OK;
	}
	if (argc > 1 && !strcmp(argv[1], REEXEC_CHECK_OPTION)) {
		printf(REEXEC_CHECK_ANSWER, RPD_ABI_VERSION);
		return EXIT_OK;
	}
	if (argc > 1)
		escape_print_line(stderr, "reuseportd: there is no command '%s'", argv[1]);
	command_overview(stderr);
	return EXIT_USAGE;
}
