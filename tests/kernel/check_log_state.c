/* SPDX-License-Identifier: BSD-2-Clause */
/* stream/log_state: a log process is replaced by another one, or is killed, at any time. Needs
 * root.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/line_reader.h"
#include "beds/output_bed.h"
#include "beds/pipe_bed.h"
#include "check/check.h"
#include "check/folder.h"

#define TIMES 10

static pid_t start_log(int out)
{
	return output_bed_start_log(out, STDERR_FILENO);
}

/* Each line comes once and whole. */
static void replaced_while_it_writes(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};
	pid_t old = 0;

	output_bed_begin(4);
	pipe_bed_open(out, 0);
	r.fd = out[0];
	output_bed_start_writers(OUTPUT_BED_LINES);
	for (int i = 1; i <= TIMES; i++) {
		pid_t next = start_log(out[1]);

		CHECK(line_reader_read(&r, 4 * OUTPUT_BED_LINES * i / (TIMES + 1), sizeof(r.text)));
		CHECK(!old || children_exit_well(old));
		old = next;
	}
	CHECK(line_reader_read(&r, 4 * OUTPUT_BED_LINES, sizeof(r.text)));
	CHECK(line_reader_is_exact(&r));
}

/* Lines that wait for a reader are handed over. */
static void replaced_while_it_waits(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};
	const int n = 3000;
	pid_t old;

	output_bed_begin(2);
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	r.fd = out[0];
	output_bed_start_writers(n);
	old = start_log(out[1]);
	for (int i = 0; i < 2; i++)
		children_wait(i);
	for (int i = 0; i < 3; i++) {
		pid_t next = start_log(out[1]);

		CHECK(children_exit_well(old));
		old = next;
	}
	CHECK(line_reader_read(&r, 2 * n, sizeof(r.text)));
	CHECK(line_reader_is_exact(&r));
	output_bed_close_link();
	CHECK(children_exit_well(old));
	CHECK(!output_bed_exists(0) && !output_bed_exists(1));
}

/* A part of a long line is written: the next log process writes the rest; or all of it, if its
 * standard output is another one. */
static void replaced_within_a_line(void)
{
	for (int is_other = 0; is_other < 2; is_other++) {
		_cleanup_pipe_ int out[2] = {-1, -1};
		_cleanup_pipe_ int other[2] = {-1, -1};
		static char text[30001], line[30100];
		_cleanup_file_ FILE *file = NULL;
		struct pollfd ready = {.events = POLLIN};
		int fd;
		pid_t old;

		output_bed_begin(1);
		pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
		pipe_bed_open(other, 0);
		memset(text, 'y', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\n';
		fd = output_bed_open(0, 0);
		CHECK(write(fd, text, sizeof(text)) == sizeof(text));
		old = start_log(out[1]);
		ready.fd = out[0];
		CHECK(poll(&ready, 1, 1000 * DEADLINE_S) == 1);
		start_log(is_other ? other[1] : out[1]);
		CHECK(children_exit_well(old));
		close(fd);
		file = fdopen(is_other ? TAKE_FD(other[0]) : TAKE_FD(out[0]), "r");
		CHECK(file && fgets(line, sizeof(line), file));
		CHECK(!strncmp(line, "svc.0 | ", 8) && strlen(line) == 8 + sizeof(text));
		children_end();
	}
}

/* The file system of the standard output is full in the middle of a line: the next log process
 * writes the rest of the line there. */
static void replaced_on_a_full_disk(void)
{
	static char text[30001], line[30100];
	char folder[64], path[80];
	_cleanup_close_ int out = -1;
	int fd;
	pid_t old;
	struct stat st = {};

	output_bed_begin(1);
	snprintf(folder, sizeof(folder), "%s/full", folder_path());
	snprintf(path, sizeof(path), "%s/out", folder);
	CHECK(mkdir(folder, 0755) == 0 && mount("tmpfs", folder, "tmpfs", 0, "size=16k") == 0);
	out = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	CHECK(out >= 0);
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\n';
	fd = output_bed_open(0, 0);
	CHECK(write(fd, text, sizeof(text)) == sizeof(text));
	old = start_log(out);
	CHECK_UNTIL(fstat(out, &st) == 0 && st.st_size == 16384);
	CHECK(mount("tmpfs", folder, "tmpfs", MS_REMOUNT, "size=1m") == 0);
	start_log(out);
	CHECK(children_exit_well(old));
	CHECK_UNTIL(fstat(out, &st) == 0 && st.st_size >= (off_t)sizeof(text) + 8);
	CHECK(pread(out, line, sizeof(line), 0) == (ssize_t)sizeof(text) + 8);
	CHECK(!memcmp(line + 8, text, sizeof(text)));
	close(fd);
	children_end();
}

/* At most what was in its memory is lost, which may be the beginning of a line; the workers go on.
 * It may have all in its memory that is printed, so the next lines are printed when it was killed.
 */
static void killed(void)
{
	enum { KILLS = 9, EACH = OUTPUT_BED_LINES / KILLS };
	_cleanup_pipe_ int out[2] = {-1, -1};
	static char text[OUTPUT_BED_LINE_MAX * 4];
	_cleanup_close_ int held = -1; /* the FIFO, so that it does not end between two writers */
	_cleanup_file_ FILE *file = NULL;
	int n = 0, last = -1, n_cut = 0;

	output_bed_begin(1);
	held = output_bed_open(0, 0);
	pipe_bed_open(out, 0);
	file = fdopen(TAKE_FD(out[0]), "r");
	CHECK(file);
	for (int i = 0; i < KILLS; i++) {
		const pid_t pid = start_log(out[1]);
		int number = -1;

		if (i > 0)
			children_wait((size_t)i - 1); /* the writer of the lines before */
		output_bed->first = i * EACH;
		output_bed_start_writers(EACH);
		while (number < output_bed->first + EACH / 2 && fgets(text, sizeof(text), file)) {
			char line[OUTPUT_BED_LINE_MAX];

			if (sscanf(text, "svc.0 | 0 %d ", &number) != 1 || number <= last) {
				n_cut++;
				continue;
			}
			output_bed_line(line, 0, number);
			CHECK(!strcmp(text + 8, line));
			last = number;
			n++;
		}
		children_kill(pid);
	}
	CHECK_BETWEEN(n, KILLS * EACH / 2, OUTPUT_BED_LINES);
	CHECK_BETWEEN(n_cut, 0, 2 * KILLS); /* a line that was read or written in part */
	start_log(out[1]);
	children_wait(KILLS - 1);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(replaced_while_it_writes),
	        CHECK_CASE(replaced_while_it_waits),
	        CHECK_CASE(replaced_within_a_line),
	        CHECK_CASE(replaced_on_a_full_disk),
	        CHECK_CASE(killed),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
