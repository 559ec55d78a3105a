/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * killat: runs a command and kills it, with all its children or without them, at its N-th system
 * call; or does so to a process that runs already. A test that does so for every N has shown what a
 * crash leaves behind at each point where the outside world can tell the difference.
 *
 * It is not for faults inside the kernel or between two instructions of the program, and with more
 * than one thread or process the order of the calls, hence the meaning of N, can differ from run to
 * run.
 *
 * What is counted are ptrace's system-call stops, "entry" just before a call takes effect and
 * "exit" just after, over all threads and children that are followed. A call that does not return
 * (exit_group) has only its entry.
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
         "Kill at the N-th stop, from 1, or at one as --list prints it: \"bpf:OBJ_PIN#3 exit\" is "
         "the end of the third bpf() of that kind, however many other calls there were before"},
        {"count", OPT_COUNT, 0, 0, "Kill nothing, only count the stops"},
        {"list", OPT_LIST, 0, 0, "The same, and print a line \"stop N: POINT\" for each"},
        {"skip-start", OPT_SKIP_START, 0, 0,
         "Begin to count when the program's entry point (AT_ENTRY) is reached, found by a "
         "breakpoint: without the calls of the dynamic loader and of the libraries' constructors. "
         "Only for the first execve, not for those that follow"},
        {"leave-children", OPT_LEAVE_CHILDREN, 0, 0,
         "Follow and kill only the process itself with its threads; its children are not traced, "
         "and live on"},
        {"pid", OPT_PID, "PID", 0,
         "Rather than run a command follow this process, and count from when \"following\" is "
         "printed; with --leave-children. If killat is ended before, the process goes on alone"},
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
		argp_error(state, "at: %s is neither a number from 1 nor a point", text);
}

static void main_parse_pid(const char *text, struct options *options, struct argp_state *state)
{
	char *end;

	errno = 0;
	options->pid = (pid_t)strtol(text, &end, 10);
	if (errno || *end || options->pid <= 0)
		argp_error(state, "pid: %s is none", text);
}

static void main_check_options(const struct options *options, struct argp_state *state)
{
	if (!options->command == !options->pid)
		argp_error(state, "either a command or --pid");
	if (options->pid && (!options->leave_children || options->skip_start))
		argp_error(state, "--pid is with --leave-children, and without --skip-start");
	if (options->count == (options->at > 0 || options->at_point))
		argp_error(state, "either --at, or --count or --list");
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
               "call "
               "has one just before and one just after it, counted over all threads and children "
               "from the end of CMD's execve.\v"
               "Prints \"killed at stop N: CALL#K entry|exit\", CALL being a name or number and "
               "this "
               "the K-th of it, or "
               "\"ended after K stops, exit status S\" (128 + the signal that killed it) once CMD "
               "and its children have ended.\n\n"
               "Exit status: 0 if it was killed (or with --count), 3 if CMD ended before, 1 if it "
               "could not be run or traced, 2 for bad usage.",
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
	/* The command may print as well, and who waits for our lines is to see them. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	trace_begin(&trace);
	if (trace_follow(&trace))
		status = main_report_ended(&trace);
	trace_end(&trace);
	return status;
}
