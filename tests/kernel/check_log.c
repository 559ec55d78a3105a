/* SPDX-License-Identifier: BSD-2-Clause */
/* stream/log: log lines on standard error do not block, however slowly they are read. */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "beds/children.h"
#include "beds/pipe_bed.h"
#include "check/check.h"
#include "stream/log.h"

#define PIPE_SIZE  4096
#define MANY_LINES 30000 /* more than the queue keeps */
#define CLOSE_MS   200

static bool fill(int fd)
{
	static const char text[PIPE_SIZE];

	return write(fd, text, sizeof(text)) == sizeof(text);
}

static sd_event *loop_with(int fd)
{
	sd_event *loop = NULL;

	signal(SIGPIPE, SIG_IGN);
	if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0 || sd_event_new(&loop) < 0 ||
	    log_open(loop) < 0)
		_exit(1);
	return loop;
}

/* ---- More lines than the queue keeps ---- */

static void say_much(int fd)
{
	sd_event *loop = loop_with(fd);

	for (int i = 0; i < MANY_LINES; i++)
		log_line("line %d of many", i);
	shared->pids[0] = 1;
	while (!shared->stop)
		sd_event_run(loop, 10000);
	log_line("the last one");
	log_close(DEADLINE_S * NS_PER_S);
	sd_event_unref(loop);
}

static void dropped_lines_are_counted(void)
{
	_cleanup_pipe_ int pair[2] = {-1, -1};
	_cleanup_file_ FILE *file = NULL;
	char line[256] = "";
	int next = 0, number, missing = 0;

	pipe_bed_open(pair, PIPE_SIZE);
	children_start(say_much, pair[1]);
	close(TAKE_FD(pair[1]));
	CHECK_UNTIL(shared->pids[0]); /* it did not block */
	file = fdopen(TAKE_FD(pair[0]), "r");
	CHECK(file);
	while (fgets(line, sizeof(line), file) && sscanf(line, "line %d of", &number) == 1)
		CHECK(number == next++);
	CHECK(next > LOG_KEPT_MAX / (int)sizeof("line 12345 of many"));
	CHECK(sscanf(line, "reuseportd: %d lines are missing here", &missing) == 1);
	CHECK(missing + next == MANY_LINES);
	shared->stop = true;
	CHECK(fgets(line, sizeof(line), file) && !strcmp(line, "the last one\n"));
	CHECK(!fgets(line, sizeof(line), file));
}

/* ---- The end ---- */

static void say_and_end(int fd)
{
	sd_event *loop = loop_with(fd);
	int64_t begin;

	log_line("a line without a reader");
	begin = clock_ns(CLOCK_MONOTONIC);
	log_close(CLOSE_MS * 1000000ll);
	if (clock_ns(CLOCK_MONOTONIC) - begin < CLOSE_MS * 1000000ll)
		_exit(1);
	fprintf(stderr, "a line that would block\n"); /* would block */
	sd_event_unref(loop);
	shared->pids[0] = 1;
}

static void close_waits_no_longer_than_told(void)
{
	_cleanup_pipe_ int pair[2] = {-1, -1};

	pipe_bed_open(pair, PIPE_SIZE);
	CHECK(fill(pair[1]));
	children_start(say_and_end, pair[1]);
	CHECK_UNTIL(shared->pids[0]);
}

static int reader;

/* The pipe has no reader any more: log_close() returns at once. */
static void say_to_nobody(int fd)
{
	sd_event *loop = loop_with(fd);

	close(reader);
	while (!shared->stop)
		sched_yield();
	log_line("another one");
	log_close(1000 * NS_PER_S);
	sd_event_unref(loop);
	shared->pids[0] = 1;
}

static void reader_is_gone(void)
{
	_cleanup_pipe_ int pair[2] = {-1, -1};

	pipe_bed_open(pair, PIPE_SIZE);
	reader = pair[0];
	children_start(say_to_nobody, pair[1]);
	close(TAKE_FD(pair[0]));
	close(TAKE_FD(pair[1]));
	shared->stop = true;
	CHECK_UNTIL(shared->pids[0]);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(dropped_lines_are_counted),
	        CHECK_CASE(close_waits_no_longer_than_told),
	        CHECK_CASE(reader_is_gone),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
