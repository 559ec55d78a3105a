/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * killat: runs a command, or follows a running process, and kills it at its N-th system call, with
 * or without its children. A test that kills at every N shows what a crash leaves behind at each
 * point that other processes can distinguish.
 *
 * It doesn't simulate faults inside the kernel or between two system calls. With several threads or
 * processes the order of the calls, and so the meaning of N, can differ from run to run.
 *
 * killat counts the system-call stops of ptrace over all threads and children that it follows:
 * "entry" just before a call takes effect, "exit" just after. A call that doesn't return
 * (exit_group) has only an entry.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "trace.h"

#define EXIT_KILLED 0
#define EXIT_USAGE  2
#define EXIT_ENDED  3

enum {
	OPT_AT = 0x100,
	OPT_COUNT,
	OPT_LIST,
	OPT_SKIP_START,
	OPT_LEAVE_CHILDREN,
	OPT_PID,
};

static const struct argp_option option_table[] = {
        {"at", OPT_AT, "N|POINT", 0,
         "Kill at the N-th stop, counted from 1, or at POINT as --list prints it: \"bpf:OBJ_PIN#3 "
         "exit\" is the end of the third bpf() of that kind"},
        {"count", OPT_COUNT, 0, 0, "Only count the stops; kill nothing"},
        {"list", OPT_LIST, 0, 0, "Like --count; also print a line \"stop N: POINT\" for each stop"},
        {"skip-start", OPT_SKIP_START, 0, 0,
         "Don't count the calls of the dynamic loader and of library constructors: start counting "
         "at the program's entry point (AT_ENTRY), by a breakpoint. Applies to the first execve "
         "only"},
        {"leave-children", OPT_LEAVE_CHILDREN, 0, 0,
         "Follow and kill only the process with its threads; its children are not traced and live "
         "on"},
        {"pid", OPT_PID, "PID", 0,
         "Follow this process instead of running a command, and count once \"following\" is "
         "printed; needs --leave-children. If killat ends first, the process continues"},
        {0},
};

static void main_parse_at(const char *text, struct options *options, struct argp_state *state)
{
	char *end;

	if (strchr(text, '#')) {
		options->at_point = text;
		return;
	}
	errno = 0;
	options->at = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || options->at == 0)
		argp_error(state, "--at: '%s' is neither a number greater than 0 nor a point",
		           text);
}

static void main_parse_pid(const char *text, struct options *options, struct argp_state *state)
{
	char *end;

	errno = 0;
	options->pid = (pid_t)strtol(text, &end, 10);
	if (errno || *end || options->pid <= 0)
		argp_error(state, "--pid: '%s' is not a process number", text);
}

static void main_check_options(const struct options *options, struct argp_state *state)
{
	if (!options->command == !options->pid)
		argp_error(state, "give either a command or --pid");
	if (options->pid && (!options->leave_children || options->skip_start))
		argp_error(state, "--pid needs --leave-children and excludes --skip-start");
	if (options->count == (options->at > 0 || options->at_point))
		argp_error(state, "give either --at, or --count or --list");
}

static error_t main_parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case OPT_AT:
		main_parse_at(arg, options, state);
		return 0;
	case OPT_LIST:
		options->list = options->count = true;
		return 0;
	case OPT_COUNT:
		options->count = true;
		return 0;
	case OPT_SKIP_START:
		options->skip_start = true;
		return 0;
	case OPT_LEAVE_CHILDREN:
		options->leave_children = true;
		return 0;
	case OPT_PID:
		main_parse_pid(arg, options, state);
		return 0;
	case ARGP_KEY_ARGS:
		options->command = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		main_check_options(options, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
        .options = option_table,
        .parser = main_parse_option,
        .args_doc = "[CMD [ARG...]]",
        .doc = "Runs CMD and kills it with all its children at its N-th system-call stop: each "
               "call has one just before and one just after it. Stops are counted over all "
               "threads and children, from the end of CMD's execve.\v"
               "Prints \"killed at stop N: CALL#K entry|exit\" for the K-th call of that name or "
               "number; or, once CMD and its children have ended, \"ended after N stops, exit "
               "status S\", where S is 128 + the signal number if a signal killed CMD.\n\n"
               "Exit status: 0 if CMD was killed, or with --count; 3 if CMD ended before that "
               "stop; 1 if CMD could not be run or traced; 2 for wrong usage.",
};

static int main_report_ended(const struct trace *trace)
{
	int status = trace->root_status;

	if (!trace->executed)
		return EXIT_FAILURE;
	printf("ended after %" PRIu64 " stops, exit status %d\n", trace->stops,
	       WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	return trace->options->count ? EXIT_SUCCESS : EXIT_ENDED;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct trace trace = {.options = &options};
	int status = EXIT_KILLED;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &options);
	/* Line buffering: the caller may wait for a line, and the command may print as well. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	trace_begin(&trace);
	if (trace_follow(&trace))
		status = main_report_ended(&trace);
	trace_end(&trace);
	return status;
}
