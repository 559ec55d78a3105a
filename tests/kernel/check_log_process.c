/* SPDX-License-Identifier: BSD-2-Clause */
/* stream/log_process: no line is lost, torn or mixed, whatever standard output is, and workers are
 * not held up by it. Needs root. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/line_reader.h"
#include "beds/output_bed.h"
#include "beds/pipe_bed.h"
#include "check/check.h"
#include "check/folder.h"
#include "core/line_queue.h"

/* Starts a log process whose standard error is ours. */
static pid_t start_log(int out)
{
	return output_bed_start_log(out, STDERR_FILENO);
}

static bool print(int fd, const char *text)
{
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool all_fifos_are_gone(void)
{
	for (int i = 0; i < output_bed->n_workers; i++)
		if (output_bed_exists(i))
			return false;
	return true;
}

static void four_writers(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};
	pid_t pid;

	output_bed_begin(4);
	pipe_bed_open(out, 0);
	r.fd = out[0];
	output_bed_start_writers(OUTPUT_BED_LINES);
	pid = start_log(out[1]);
	CHECK(line_reader_read(&r, 4 * OUTPUT_BED_LINES, sizeof(r.text)));
	CHECK(line_reader_is_exact(&r));
	output_bed_close_link();
	CHECK(children_exit_well(pid) && all_fifos_are_gone());
	CHECK(!line_reader_read_some(&r, 1, 0));
}

/* The lines of one worker don't come before those of another that printed at the same time. */
static void writers_take_turns(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};

	output_bed_begin(4);
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	r.fd = out[0];
	output_bed_start_writers(OUTPUT_BED_LINES);
	start_log(out[1]);
	CHECK(line_reader_read(&r, 4 * OUTPUT_BED_LINES / 2, sizeof(r.text)));
	for (int i = 0; i < 4; i++)
		CHECK_BETWEEN(r.beyond[i], OUTPUT_BED_LINES / 10, OUTPUT_BED_LINES * 9 / 10);
}

static void slow_reader(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};

	output_bed_begin(4);
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	r.fd = out[0];
	output_bed_start_writers(2000);
	start_log(out[1]);
	CHECK(line_reader_read(&r, 4 * 2000, 97));
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

/* For each kind of standard output: while it blocks, the workers go on; when it is read, all lines
 * come. */
static void blocked_output(void)
{
	const int n = 3000;

	for (int kind = 0; kind < 4; kind++) {
		_cleanup_pipe_ int out[2] = {-1, -1};
		struct line_reader r = {0};
		pid_t pid;

		output_bed_begin(2);
		CHECK(kind < 2    ? pipe2(out, O_CLOEXEC) == 0
		      : kind == 2 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) == 0
		                  : open_terminal(out));
		CHECK(kind != 1 || fcntl(out[1], F_SETFL, O_NONBLOCK) == 0);
		r.fd = out[0];
		output_bed_start_writers(n);
		pid = start_log(out[1]);
		for (int i = 0; i < 2; i++)
			children_wait(i);
		CHECK(kind == 1 || !(fcntl(out[1], F_GETFL) & O_NONBLOCK));
		CHECK(output_bed_exists(0) && output_bed_exists(1));
		CHECK(line_reader_read(&r, 2 * n, sizeof(r.text)));
		CHECK(line_reader_is_exact(&r));
		output_bed_close_link();
		CHECK(children_exit_well(pid));
		children_end();
	}
}

static void output_to_a_file(void)
{
	_cleanup_close_ int to = -1, from = -1;
	struct line_reader r = {0};
	char path[128];
	pid_t pid;

	output_bed_begin(4);
	snprintf(path, sizeof(path), "%s/log", folder_path());
	to = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	from = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(to >= 0 && from >= 0);
	output_bed_start_writers(OUTPUT_BED_LINES);
	pid = start_log(to);
	output_bed_close_link();
	CHECK(children_exit_well(pid) && all_fifos_are_gone());
	r.fd = from;
	CHECK(line_reader_read(&r, 4 * OUTPUT_BED_LINES, sizeof(r.text)));
	CHECK(line_reader_is_exact(&r) && !line_reader_read_some(&r, 1, 0));
}

/* A line has at most 64 KiB; a longer one is split. */
static void long_lines(void)
{
	static char text[LINE_QUEUE_LINE_MAX + 2], line[LINE_QUEUE_LINE_MAX + 64];
	_cleanup_pipe_ int out[2] = {-1, -1};
	_cleanup_file_ FILE *file = NULL;
	_cleanup_close_ int fd = -1;

	output_bed_begin(1);
	pipe_bed_open(out, 0);
	memset(text, 'x', LINE_QUEUE_LINE_MAX);
	text[LINE_QUEUE_LINE_MAX] = '\n';
	fd = output_bed_open(0, 0);
	start_log(out[1]);
	CHECK(write(fd, text, LINE_QUEUE_LINE_MAX + 1) == LINE_QUEUE_LINE_MAX + 1);
	for (int i = 0; i < 2; i++)
		CHECK(write(fd, text, LINE_QUEUE_LINE_MAX) == LINE_QUEUE_LINE_MAX);
	CHECK(print(fd, "rest\nnext\n"));
	file = fdopen(TAKE_FD(out[0]), "r");
	CHECK(file);
	for (int i = 0; i < 3; i++) {
		CHECK(fgets(line, sizeof(line), file) && !strncmp(line, "svc.0 | x", 9));
		CHECK(strlen(line) == 8 + LINE_QUEUE_LINE_MAX + 1 &&
		      !strncmp(line + 8, text, LINE_QUEUE_LINE_MAX + 1));
	}
	CHECK(fgets(line, sizeof(line), file) && !strcmp(line, "svc.0 | rest\n"));
	CHECK(fgets(line, sizeof(line), file) && !strcmp(line, "svc.0 | next\n"));
}

/* A last line without an end is written when the worker has ended, not before. */
static void unfinished_line(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct pollfd ready = {.events = POLLIN};
	int one, other;

	output_bed_begin(2);
	pipe_bed_open(out, 0);
	one = output_bed_open(0, 0);
	other = output_bed_open(1, 0);
	CHECK(print(one, "one\ntw"));
	start_log(out[1]);
	ready.fd = out[0];
	CHECK(line_reader_text_comes(out[0], "svc.0 | one\n"));
	CHECK(print(other, "other\n") && line_reader_text_comes(out[0], "svc.1 | other\n"));
	CHECK(print(one, "o\nthree") && line_reader_text_comes(out[0], "svc.0 | two\n"));
	CHECK(output_bed_tail_is(0, "one\ntwo\nthree\n"));
	CHECK(poll(&ready, 1, 0) == 0 && output_bed_exists(0));
	close(one);
	CHECK(line_reader_text_comes(out[0], "svc.0 | three\n"));
	CHECK(output_bed_tail_is(0, "one\ntwo\nthree\n") && output_bed_exists(0));
	output_bed_close_link();
	CHECK_UNTIL(!output_bed_exists(0));
	CHECK(output_bed_exists(1));
	close(other);
}

/* A worker has given its standard output to a process that is not one of its own. */
static void worker_has_gone(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	_cleanup_close_ int fd = -1;

	output_bed_begin(1);
	pipe_bed_open(out, 0);
	fd = output_bed_open(0, 0);
	start_log(out[1]);
	CHECK(print(fd, "a\nb") && line_reader_text_comes(out[0], "svc.0 | a\n"));
	output_bed_note_gone(0);
	CHECK(line_reader_text_comes(out[0], "svc.0 | b\n"));
	CHECK_UNTIL(!output_bed_exists(0));
}

static void streams_are_kept_apart(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	_cleanup_pipe_ int errors[2] = {-1, -1};
	int fds[2];

	output_bed_begin(1);
	pipe_bed_open(out, 0);
	pipe_bed_open(errors, 0);
	for (int i = 0; i < 2; i++)
		fds[i] = output_bed_open(0, i);
	output_bed_start_log(out[1], errors[1]);
	CHECK(print(fds[0], "out\nun") && print(fds[1], "errors\nfin"));
	CHECK(line_reader_text_comes(out[0], "svc.0 | out\n"));
	CHECK(line_reader_text_comes(errors[0], "svc.0 | errors\n"));
	for (int i = 0; i < 2; i++)
		close(fds[i]);
	CHECK(line_reader_text_comes(out[0], "svc.0 | un\n"));
	CHECK(line_reader_text_comes(errors[0], "svc.0 | fin\n"));
}

/* Lines that are longer than the pipe are not mixed, if both streams are the same pipe. */
static void streams_share_a_pipe(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	static char text[20001], line[20100];
	_cleanup_file_ FILE *file = NULL;
	int n[2] = {0, 0}, fds[2];

	output_bed_begin(1);
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	output_bed_start_log(out[1], out[1]);
	for (int i = 0; i < 2; i++)
		fds[i] = output_bed_open(0, i);
	for (int i = 0; i < 12; i++) {
		memset(text, i % 2 ? 'e' : 'o', 20000);
		text[20000] = '\n';
		CHECK(write(fds[i % 2], text, sizeof(text)) == sizeof(text));
	}
	file = fdopen(TAKE_FD(out[0]), "r");
	CHECK(file);
	for (int i = 0; i < 12; i++) {
		CHECK(fgets(line, sizeof(line), file) && strlen(line) == 8 + sizeof(text));
		CHECK(strspn(line + 8, line[8] == 'e' ? "e" : "o") == 20000);
		n[line[8] == 'e']++;
	}
	CHECK(n[0] == 6 && n[1] == 6);
	for (int i = 0; i < 2; i++)
		close(fds[i]);
}

static int n_lines(const char *text)
{
	int n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/* The pipe isn't read: memory is limited, and the lines that are missing are counted. */
static void oldest_lines_are_dropped(void)
{
	const char *const slow =
	        "svc: standard output accepts lines too slowly: the oldest lines "
	        "are dropped\n";
	_cleanup_pipe_ int out[2] = {-1, -1};
	_cleanup_pipe_ int errors[2] = {-1, -1};
	static char text[16 << 20];
	size_t n = 0;
	unsigned long lost;
	char note[256] = "";
	int fds[4];
	ssize_t got;
	pid_t pid;

	output_bed_begin(4);
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	pipe_bed_open(errors, 0);
	output_bed_start_writers(OUTPUT_BED_LINES);
	for (int i = 0; i < 4; i++)
		fds[i] = output_bed_open(i, 0);
	pid = output_bed_start_log(out[1], errors[1]);
	CHECK(line_reader_text_comes(errors[0], slow));
	for (int i = 0; i < 4; i++)
		children_wait(i);
	for (int i = 0; i < 4; i++) { /* one writer may have ended long before the others */
		CHECK(print(fds[i], "the last line\n"));
		close(fds[i]);
	}
	output_bed_close_link();
	cleanup_close(&out[1]);
	TAKE_FD(out[1]);
	while ((got = read(out[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	CHECK(children_exit_well(pid));
	CHECK_BETWEEN(n, 3 << 20, 5 << 20);
	for (int i = 0; i < 4; i++) {
		char line[64];

		snprintf(line, sizeof(line), "svc.%d | the last line\n", i);
		CHECK(strstr(text, line));
	}
	CHECK(read(errors[0], note, sizeof(note) - 1) > 0);
	CHECK(sscanf(note, "svc: standard output is written again; %lu lines were dropped", &lost));
	CHECK_EQ(lost + (unsigned long)n_lines(text), 4 * (OUTPUT_BED_LINES + 1));
}

/* Standard output has no reader any more: workers go on, and the end does not wait. */
static void reader_is_gone(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	pid_t pid;

	output_bed_begin(1);
	pipe_bed_open(out, 0);
	output_bed_start_writers(1000);
	close(TAKE_FD(out[0]));
	pid = start_log(out[1]);
	children_wait(0);
	output_bed_close_link();
	CHECK(children_exit_well(pid));
}

static void tail_of_the_output(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	char lines[9000] = "", *kept;
	int fds[2];

	output_bed_begin(1);
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	for (int i = 0; i < 2; i++)
		fds[i] = output_bed_open(0, i);
	output_bed_start_log(out[1], out[1]);
	CHECK(output_bed_tail_is(1, "") && output_bed_tail_is(0, ""));
	CHECK(print(fds[0], "a\nb\n") && output_bed_tail_is(0, "a\nb\n"));
	CHECK(print(fds[0], "un") && output_bed_tail_is(0, "a\nb\nun\n"));
	CHECK(print(fds[1], "c\n") && output_bed_tail_is(0, "a\nb\nc\nun\n"));
	CHECK(write(fds[0], "\0\n", 2) == 2 && output_bed_tail_is(0, "a\nb\nc\nun \n"));
	for (int i = 0; i < 800; i++)
		sprintf(lines + strlen(lines), "line %d\n", i);
	/* The first of these 4095 bytes is in the middle of a line, which is not shown then. */
	kept = strchr(lines + strlen(lines) - (LOG_MESSAGE_TAIL_MAX - 1), '\n') + 1;
	CHECK(print(fds[0], lines) && output_bed_tail_is(0, kept));
	for (int i = 0; i < 2; i++)
		close(fds[i]);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(four_writers),
	        CHECK_CASE(writers_take_turns),
	        CHECK_CASE(slow_reader),
	        CHECK_CASE(blocked_output),
	        CHECK_CASE(output_to_a_file),
	        CHECK_CASE(long_lines),
	        CHECK_CASE(unfinished_line),
	        CHECK_CASE(worker_has_gone),
	        CHECK_CASE(streams_are_kept_apart),
	        CHECK_CASE(streams_share_a_pipe),
	        CHECK_CASE(oldest_lines_are_dropped),
	        CHECK_CASE(reader_is_gone),
	        CHECK_CASE(tail_of_the_output),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
