/* SPDX-License-Identifier: BSD-2-Clause */
/* stream/output: no line is lost, torn or mixed, and the event loop does not block, whatever
 * standard output is and however slow. Needs root. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "beds/children.h"
#include "beds/follower.h"
#include "beds/line_reader.h"
#include "beds/output_bed.h"
#include "beds/pipe_bed.h"
#include "check/check.h"

static void four_writers(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};
	pid_t pid;

	output_bed_begin();
	pipe_bed_open(out, 0);
	r.fd = out[0];
	output_bed_start_writers(OUTPUT_BED_WRITERS, OUTPUT_BED_LINES);
	pid = children_start(follower_run, out[1]);
	CHECK(line_reader_read(&r, OUTPUT_BED_WRITERS * OUTPUT_BED_LINES, sizeof(r.text)));
	CHECK(line_reader_count(&r) == OUTPUT_BED_WRITERS * OUTPUT_BED_LINES &&
	      line_reader_is_exact(&r));
	output_bed->stop = true;
	CHECK(children_exit_well(pid));
	CHECK(!line_reader_read_some(&r, 1, 0));
	for (int i = 0; i < OUTPUT_BED_WRITERS; i++)
		CHECK(output_bed_stat(i).st_nlink == 0);
}

/* The follower does not wait for the end of one worker's output before it passes on another's. */
static void writers_take_turns(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};

	output_bed_begin();
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	r.fd = out[0];
	output_bed_start_writers(OUTPUT_BED_WRITERS, OUTPUT_BED_LINES);
	for (int i = 0; i < OUTPUT_BED_WRITERS; i++)
		children_wait(i);
	children_start(follower_run, out[1]);
	CHECK(line_reader_read(&r, OUTPUT_BED_WRITERS * OUTPUT_BED_LINES / 2, sizeof(r.text)));
	for (int i = 0; i < OUTPUT_BED_WRITERS; i++)
		CHECK(r.beyond[i] > OUTPUT_BED_LINES / 4 && r.beyond[i] < OUTPUT_BED_LINES * 3 / 4);
}

static void slow_reader(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};

	output_bed_begin();
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	r.fd = out[0];
	output_bed_start_writers(OUTPUT_BED_WRITERS, 2000);
	children_start(follower_run, out[1]);
	CHECK(line_reader_read(&r, OUTPUT_BED_WRITERS * 2000, 97));
	CHECK(line_reader_is_exact(&r));
}

static bool open_terminal(int pair[2])
{
	struct termios raw;

	if (openpty(&pair[0], &pair[1], NULL, NULL, NULL) < 0 || tcgetattr(pair[1], &raw) < 0)
		return false;
	cfmakeraw(&raw);
	return tcsetattr(pair[1], TCSANOW, &raw) == 0;
}

/* For each kind of standard output: while it blocks, the loop goes on; when it is read, all lines
 * come. */
static void blocked_output(void)
{
	for (int kind = 0; kind < 4; kind++) {
		_cleanup_pipe_ int out[2] = {-1, -1};
		struct line_reader r = {0};
		struct stat st;
		pid_t pid;

		output_bed_begin();
		CHECK(kind < 2    ? pipe2(out, O_CLOEXEC) == 0
		      : kind == 2 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) == 0
		                  : open_terminal(out));
		CHECK(kind != 1 || fcntl(out[1], F_SETFL, O_NONBLOCK) == 0);
		r.fd = out[0];
		output_bed_start_writers(2, OUTPUT_BED_LINES / 2);
		pid = children_start(follower_run, out[1]);
		for (int i = 0; i < 2; i++)
			children_wait(i);
		CHECK(follower_ticks() && follower_ticks() &&
		      output_bed->longest_ns < 2 * NS_PER_S * deadline_factor());
		st = output_bed_stat(0);
		CHECK(st.st_size > 1 << 20 && st.st_blocks * 512 > st.st_size / 2);
		CHECK(kind == 1 || !(fcntl(out[1], F_GETFL) & O_NONBLOCK));
		CHECK(line_reader_read(&r, OUTPUT_BED_LINES, sizeof(r.text)));
		CHECK(line_reader_is_exact(&r));
		output_bed->stop = true;
		CHECK(children_exit_well(pid));
		children_end();
	}
}

static void output_to_a_file(void)
{
	_cleanup_pipe_ int log[2] = {-1, -1};
	struct line_reader r = {0};
	pid_t pid;

	output_bed_begin();
	output_bed_log(&log[1], &log[0]);
	output_bed_start_writers(OUTPUT_BED_WRITERS, OUTPUT_BED_LINES);
	pid = children_start(follower_run, log[1]);
	for (int i = 0; i < OUTPUT_BED_WRITERS; i++)
		children_wait(i);
	CHECK(follower_ticks());
	output_bed->stop = true;
	CHECK(children_exit_well(pid));
	r.fd = log[0];
	CHECK(line_reader_read(&r, OUTPUT_BED_WRITERS * OUTPUT_BED_LINES, sizeof(r.text)));
	CHECK(line_reader_is_exact(&r) && !line_reader_read_some(&r, 1, 0));
}

/* A line has at most 64 KiB; a longer one is split. */
static void long_lines(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	_cleanup_close_ int fd = -1;
	static char text[OUTPUT_LINE_MAX + 2], line[OUTPUT_LINE_MAX + 64];
	_cleanup_file_ FILE *file = NULL;

	output_bed_begin();
	pipe_bed_open(out, 0);
	memset(text, 'x', OUTPUT_LINE_MAX);
	text[OUTPUT_LINE_MAX] = '\n';
	fd = output_bed_open(0);
	CHECK(write(fd, text, OUTPUT_LINE_MAX + 1) == OUTPUT_LINE_MAX + 1);
	for (int i = 0; i < 2; i++)
		CHECK(write(fd, text, OUTPUT_LINE_MAX) == OUTPUT_LINE_MAX);
	CHECK(output_bed_write(0, "rest\nnext\n"));
	children_start(follower_run, out[1]);
	file = fdopen(out[0], "r");
	CHECK(file);
	TAKE_FD(out[0]);
	for (int i = 0; i < 3; i++) {
		CHECK(fgets(line, sizeof(line), file) && !strncmp(line, "svc.0 | x", 9));
		CHECK(strlen(line) == 8 + OUTPUT_LINE_MAX + 1 && !strncmp(line + 8, text, 65537));
	}
	CHECK(fgets(line, sizeof(line), file) && !strcmp(line, "svc.0 | rest\n"));
	CHECK(fgets(line, sizeof(line), file) && !strcmp(line, "svc.0 | next\n"));
}

static void unfinished_line(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct pollfd ready = {.events = POLLIN};
	pid_t pid;

	output_bed_begin();
	output_bed->n_files = 2;
	pipe_bed_open(out, 0);
	CHECK(output_bed_write(0, "one\ntw"));
	pid = children_start(follower_run, out[1]);
	ready.fd = out[0];
	CHECK(line_reader_text_comes(out[0], "svc.0 | one\n") && follower_ticks());
	CHECK(poll(&ready, 1, 0) == 0);
	CHECK(output_bed_write(1, "other\n") && line_reader_text_comes(out[0], "svc.1 | other\n"));
	CHECK(output_bed_write(0, "o\nthree") && line_reader_text_comes(out[0], "svc.0 | two\n") &&
	      follower_ticks());
	CHECK(poll(&ready, 1, 0) == 0 && output_bed_stat(0).st_nlink == 1);
	output_bed->ended = 0;
	CHECK(line_reader_text_comes(out[0], "svc.0 | three\n"));
	CHECK_UNTIL(output_bed_stat(0).st_nlink == 0);
	output_bed->stop = true;
	CHECK(children_exit_well(pid));
	CHECK(poll(&ready, 1, 0) == 0);
}

/* Output that was passed on takes no memory. */
static void passed_output_takes_no_memory(void)
{
	for (int i = 0; i < 2; i++) {
		_cleanup_pipe_ int out[2] = {-1, -1};
		struct line_reader r = {0};

		output_bed_begin();
		output_bed->no_attributes = i;
		pipe_bed_open(out, 0);
		r.fd = out[0];
		output_bed->n_lines = 5000;
		children_start(follower_run, out[1]);
		for (output_bed->first = 0; output_bed->first < 100000;
		     output_bed->first += output_bed->n_lines) {
			output_bed_writer(0);
			CHECK(line_reader_read(&r, output_bed->first + output_bed->n_lines,
			                       sizeof(r.text)));
			CHECK_UNTIL(output_bed_stat(0).st_blocks * 512 <=
			            2 * sysconf(_SC_PAGESIZE));
		}
		CHECK(output_bed_stat(0).st_size > 10 << 20);
		children_end();
	}
}

/* Standard output has no reader any more: the follower goes on, and frees new output. */
static void reader_is_gone(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	pid_t pid;

	output_bed_begin();
	pipe_bed_open(out, 0);
	pid = children_start(follower_run, out[1]);
	CHECK(follower_ticks());
	close(out[0]);
	close(out[1]);
	out[0] = out[1] = -1;
	output_bed_start_writers(1, OUTPUT_BED_LINES);
	children_wait(1);
	CHECK_UNTIL(output_bed_stat(0).st_blocks * 512 <= 2 * sysconf(_SC_PAGESIZE));
	output_bed->stop = true;
	CHECK(children_exit_well(pid));
}

/* A worker truncates its file, by `echo > /dev/stdout` for example. */
static void truncated_file(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	char path[OUTPUT_BED_PATH_MAX];

	output_bed_begin();
	output_bed_path(path, 0);
	pipe_bed_open(out, 0);
	CHECK(output_bed_write(0, "before\nbefore\n"));
	children_start(follower_run, out[1]);
	CHECK(line_reader_text_comes(out[0], "svc.0 | before\nsvc.0 | before\n") &&
	      follower_ticks());
	CHECK(truncate(path, 0) == 0 && follower_ticks());
	CHECK(output_bed_write(0, "a\n") && line_reader_text_comes(out[0], "svc.0 | a\n"));
	CHECK(output_bed_write(0, "b\n") && line_reader_text_comes(out[0], "svc.0 | b\n"));
}

static void tail_of_the_output(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	char lines[9000] = "", *kept;
	pid_t pid;

	output_bed_begin();
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	pid = children_fork(follower_run, out[1]);
	CHECK(follower_tail_is(""));
	CHECK(output_bed_write(0, "a\nb\n") &&
	      line_reader_text_comes(out[0], "svc.0 | a\nsvc.0 | b\n"));
	CHECK(follower_tail_is("a\nb\n"));
	CHECK(output_bed_write(0, "un") && follower_tail_is("a\nb\nun"));
	for (int i = 0; i < 800; i++)
		sprintf(lines + strlen(lines), "line %d\n", i);
	/* The first of these 4095 bytes may be in the middle of a line, which is not shown then. */
	kept = strchr(lines + strlen(lines) - (OUTPUT_TAIL_MAX - 1), '\n') + 1;
	CHECK(output_bed_write(0, "\n") && output_bed_write(0, lines));
	CHECK(follower_ticks() &&
	      follower_tail_is(kept)); /* the pipe is full, so that only a part is passed on */
	children_kill(pid);
	pid = children_fork(follower_run, out[1]);
	CHECK(follower_tail_is(kept));
	children_kill(pid);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(four_writers),       CHECK_CASE(writers_take_turns),
	        CHECK_CASE(slow_reader),        CHECK_CASE(blocked_output),
	        CHECK_CASE(output_to_a_file),   CHECK_CASE(long_lines),
	        CHECK_CASE(unfinished_line),    CHECK_CASE(passed_output_takes_no_memory),
	        CHECK_CASE(reader_is_gone),     CHECK_CASE(truncated_file),
	        CHECK_CASE(tail_of_the_output),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
