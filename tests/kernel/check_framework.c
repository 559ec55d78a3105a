/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/harness/check itself: this program runs a second one, of sample cases, and checks what that
 * prints. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "check/check.h"
#include "check/folder.h"

/* ---- The sample cases ---- */

static void print_release(int *number)
{
	printf("released %d\n", *number);
}

static void print_end(void)
{
	printf("at end\n");
}

static int fail_below(int number)
{
	_cleanup_(print_release) int guarded = number;

	CHECK_EQ(guarded, 0);
	return guarded;
}

static void passes(void)
{
	CHECK(check_until(true) && !strncmp(folder_path(), "/tmp/", 5));
}

static void fails_in_a_function(void)
{
	_cleanup_(print_release) int guarded = 1;

	check_at_end(print_end);
	check_at_end(print_end);
	printf("not reached %d\n", fail_below(guarded + 1));
}

static void fail_as_child(int arg)
{
	CHECK_MSG(arg == 0, "arg %d", arg);
}

static void fails_in_a_child(void)
{
	CHECK(!children_exit_well(children_fork(fail_as_child, 3)));
}

static void skips(void)
{
	check_skip("no %s", "kernel");
}

static void is_killed(void)
{
	kill(getpid(), SIGKILL);
}

static void is_given(const void *data)
{
	CHECK_BETWEEN(*(const int *)data, 1, 2);
}

static int run_samples(int argc, char **argv)
{
	static const int three = 3;
	static const struct check_case cases[] = {
	        CHECK_CASE(passes),
	        CHECK_CASE(fails_in_a_function),
	        CHECK_CASE(fails_in_a_child),
	        CHECK_CASE(skips),
	        {"fails_apart", fails_in_a_function, .apart = true},
	        {"killed_apart", is_killed, .apart = true},
	        {"has_data", .run_with = is_given, .data = &three},
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}

/* ---- The cases ---- */

/* Runs the samples, with settings of the environment. Returns the exit status. */
static int run(const char *environment, const char *arguments, char output[4096])
{
	char command[256];
	size_t n;
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command),
	         "unset RPD_CASE RPD_RETRY; %s /proc/%d/exe samples %s 2>&1", environment, getpid(),
	         arguments);
	pipe = popen(command, "r");
	CHECK(pipe);
	n = fread(output, 1, 4095, pipe);
	output[n] = '\0';
	status = pclose(pipe);
	CHECK_MSG(WIFEXITED(status), "%s", output);
	return WEXITSTATUS(status);
}

static void check_contains(const char *output, const char *text)
{
	CHECK_MSG(strstr(output, text), "'%s' is not in: %s", text, output);
}

static void every_result(void)
{
	char output[4096];

	CHECK_EQ(run("", "", output), 1);
	check_contains(output, "ok passes\n");
	check_contains(output,
	               "\nreleased 2\nreleased 1\nat end\n"
	               "FAILED fails_in_a_function: check_framework.c:");
	check_contains(output, ": guarded is 2, not 0\nFAILED fails_in_a_child: ");
	check_contains(output, ": arg 3\nskipped skips: no kernel\nreleased 2\nreleased 1\n");
	check_contains(output, "at end\nFAILED fails_apart: ");
	check_contains(output, "FAILED killed_apart: its process ended with status 0x9\n");
	check_contains(output, ": *(const int *)data is 3, not 1 to 2\n");
	check_contains(output, "\n1 passed, 5 failed, 1 skipped\n");
	CHECK(!strstr(output, "not reached"));
}

static void cases_are_selected(void)
{
	char output[4096];

	CHECK_EQ(run("", "-k pass -k ski", output), 0);
	CHECK(!strcmp(output,
	              "ok passes\nskipped skips: no kernel\n"
	              "1 passed, 0 failed, 1 skipped\n"));
	CHECK_EQ(run("RPD_CASE=passes", "", output), 0);
	CHECK(!strcmp(output, "ok passes\n1 passed, 0 failed, 0 skipped\n"));
	CHECK_EQ(run("RPD_CASE=passes", "-k ski", output), 2);
	check_contains(output, "no case is selected by RPD_CASE=passes -k ski\n");
	CHECK_EQ(run("", "-k nothing", output), 2);
	check_contains(output, "no case is selected by -k nothing\n");
	CHECK_EQ(run("", "word", output), 2);
	check_contains(output, "unexpected argument 'word'");
}

static void failed_case_is_run_again(void)
{
	char output[4096];

	CHECK_EQ(run("RPD_RETRY=1", "-k has_data", output), 1);
	check_contains(output, "again: has_data: check_framework.c:");
	check_contains(output, "\n0 passed, 1 failed, 0 skipped\n");
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(every_result),
	        CHECK_CASE(cases_are_selected),
	        CHECK_CASE(failed_case_is_run_again),
	};

	if (argc > 1 && !strcmp(argv[1], "samples"))
		return run_samples(argc - 1, argv + 1);
	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
