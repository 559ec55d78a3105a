/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/cgroup_bed.h"
#include "beds/children.h"
#include "beds/follower.h"
#include "beds/line_reader.h"
#include "beds/output_bed.h"
#include "beds/pipe_bed.h"
#include "beds/socket_bed.h"
#include "check/check.h"

/* stream/output: the follower is killed, or exits, at any time, and the next one continues. Needs
 * root. */

#define LINE_MIN 10 /* a line is longer */

static void kill_and_go_on(bool no_attributes)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};
	const int kills = 25;
	pid_t pid;

	output_bed_begin();
	output_bed->no_attributes = no_attributes;
	pipe_bed_open(out, 0);
	r.fd = out[0];
	output_bed_start_writers(OUTPUT_BED_WRITERS, OUTPUT_BED_LINES);
	for (int i = 1; i <= kills; i++) {
		const int until = OUTPUT_BED_WRITERS * OUTPUT_BED_LINES * i / (kills + 1);

		pid = children_fork(follower_run, out[1]);
		line_reader_read(&r, until, sizeof(r.text));
		children_kill(pid);
		CHECK(r.bad == 0 && line_reader_count(&r) >= until);
	}
	children_start(follower_run, out[1]);
	CHECK(line_reader_read(&r, OUTPUT_BED_WRITERS * OUTPUT_BED_LINES, sizeof(r.text)));
	CHECK(r.n == 0 && r.cut == 0);
	/* After each kill at most one batch of one worker is repeated. */
	CHECK(r.repeated <= kills * 65536 / LINE_MIN);
	printf("   %d kills, %d lines of %d came twice\n", kills, r.repeated,
	       OUTPUT_BED_WRITERS * OUTPUT_BED_LINES);
}

static void follower_killed(void)
{
	kill_and_go_on(false);
}

static void follower_killed_without_attributes(void)
{
	kill_and_go_on(true);
}

/* Writing a file does not block, so that the kill hits the follower while it writes, notes its
 * position, or frees. A line may be cut in the file; it ends there, and comes again. */
static void follower_killed_writing_a_file(void)
{
	const int kills = 25;
	_cleanup_pipe_ int log[2] = {-1, -1};
	struct line_reader r = {0};
	struct stat st;
	pid_t pid;

	output_bed_begin();
	output_bed_log(&log[1], &log[0]);
	r.fd = log[0];
	output_bed_start_writers(OUTPUT_BED_WRITERS, 4 * OUTPUT_BED_LINES);
	for (int i = 0; i < OUTPUT_BED_WRITERS; i++)
		children_wait(i);
	for (int i = 1; i <= kills; i++) {
		pid = children_fork(follower_run, log[1]);
		CHECK_UNTIL(fstat(log[1], &st) == 0 && st.st_size > i * (1 << 20) + i * 997);
		children_kill(pid);
	}
	children_start(follower_run, log[1]);
	output_bed->stop = true;
	CHECK_UNTIL(output_bed_stat(0).st_nlink + output_bed_stat(1).st_nlink +
	                    output_bed_stat(2).st_nlink + output_bed_stat(3).st_nlink ==
	            0);
	CHECK(line_reader_read(&r, OUTPUT_BED_WRITERS * 4 * OUTPUT_BED_LINES, sizeof(r.text)));
	CHECK(r.n == 0 && r.cut <= kills && r.repeated <= kills * 65536 / LINE_MIN);
	printf("   %d kills, %d lines of %d came twice, %d were cut\n", kills, r.repeated,
	       OUTPUT_BED_WRITERS * 4 * OUTPUT_BED_LINES, r.cut);
}

/* The follower is killed while it waits: no line comes twice, since its position is noted to the
 * line. */
static void follower_killed_while_blocked(void)
{
	for (int i = 0; i < 2; i++) {
		_cleanup_pipe_ int out[2] = {-1, -1};
		struct line_reader r = {0};
		pid_t pid;

		output_bed_begin();
		output_bed->no_attributes = i;
		pipe_bed_open(out, 0);
		r.fd = out[0];
		output_bed_start_writers(1, OUTPUT_BED_LINES);
		children_wait(0);
		pid = children_fork(follower_run, out[1]);
		CHECK_UNTIL(follower_ticks());
		children_kill(pid);
		children_start(follower_run, out[1]);
		CHECK(line_reader_read(&r, OUTPUT_BED_LINES, sizeof(r.text)));
		CHECK(line_reader_is_exact(&r));
		children_end();
	}
}

/* The follower is killed when a part of a long line is written: that part ends as a line, and the
 * line comes again, whole. */
static void follower_killed_in_a_line(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	static char text[30000], line[30000 + 64];
	_cleanup_file_ FILE *file = NULL;
	pid_t pid;

	output_bed_begin();
	output_bed->n_files = 2;
	pipe_bed_open(out, OUTPUT_BED_SLOW_PIPE);
	memset(text, 'y', sizeof(text) - 2);
	text[sizeof(text) - 2] = '\n';
	CHECK(output_bed_write(0, text));
	pid = children_fork(follower_run, out[1]);
	CHECK_UNTIL(follower_ticks());
	children_kill(pid);
	CHECK(output_bed_write(1, "other\n"));
	children_start(follower_run, out[1]);
	file = fdopen(out[0], "r");
	CHECK(file);
	TAKE_FD(out[0]);
	CHECK(fgets(line, sizeof(line), file) && strlen(line) == OUTPUT_BED_SLOW_PIPE + 1);
	CHECK(!strncmp(line, "svc.0 | yyy", 11));
	for (int i = 0; i < 2; i++) {
		CHECK(fgets(line, sizeof(line), file));
		CHECK(!strcmp(line, "svc.1 | other\n") ||
		      (!strncmp(line, "svc.0 | ", 8) && !strcmp(line + 8, text)));
	}
}

/* A worker has ended while standard output blocks: the loop goes on, and the file stays until all
 * of it is passed on. If the follower is killed before that, the next one passes it on. */
static void worker_ends_while_blocked(void)
{
	for (int killed = 0; killed < 2; killed++) {
		_cleanup_pipe_ int out[2] = {-1, -1};
		struct line_reader r = {0};
		pid_t pid;

		output_bed_begin();
		pipe_bed_open(out, 0);
		r.fd = out[0];
		output_bed_start_writers(1, OUTPUT_BED_LINES);
		children_wait(0);
		pid = children_fork(follower_run, out[1]);
		output_bed->ended = 0;
		CHECK_UNTIL(output_bed->ended < 0);
		CHECK(follower_ticks() && output_bed_stat(0).st_nlink == 1);
		if (killed) {
			children_kill(pid);
			pid = children_fork(follower_run, out[1]);
		}
		output_bed->stop = true;
		CHECK(line_reader_read(&r, OUTPUT_BED_LINES, sizeof(r.text)) && r.repeated == 0);
		CHECK(children_exit_well(pid));
		CHECK(output_bed_stat(0).st_nlink == 0);
		children_end();
	}
}

/* The follower only stops to follow: no line comes twice, none is lost. */
static void follower_leaves(void)
{
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};
	pid_t pid;

	output_bed_begin();
	pipe_bed_open(out, 0);
	r.fd = out[0];
	output_bed_start_writers(2, OUTPUT_BED_LINES);
	for (int i = 0; i < 2; i++)
		children_wait(i);
	pid = children_fork(follower_run, out[1]);
	CHECK(line_reader_read(&r, OUTPUT_BED_LINES / 10, 4096));
	output_bed->leave = true;
	CHECK(children_exit_well(pid));
	output_bed->leave = false;
	children_start(follower_run, out[1]);
	CHECK(line_reader_read(&r, 2 * OUTPUT_BED_LINES, sizeof(r.text)));
	CHECK(line_reader_is_exact(&r));
}

/* ---- The freezer ---- */

static void run_flood(int fd)
{
	_cleanup_close_ int file = output_bed_open(0);
	static char text[1 << 20];
	size_t length = 0;

	cgroup_bed_enter(fd);
	for (int n = 0;; n++) {
		length += output_bed_line(text + length, 0, n);
		if (sizeof(text) - length > 512)
			continue;
		if (write(file, text, length) != (ssize_t)length)
			_exit(1);
		length = 0;
	}
}

static bool is_frozen(int cgroup)
{
	_cleanup_close_ int fd = openat(cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC);
	char text[128] = "";

	return read(fd, text, sizeof(text) - 1) > 0 && strstr(text, "frozen 1");
}

/* Reads until the worker is thawed, which is when half of OUTPUT_BEHIND_MAX is left. */
static void read_until_thawed(struct line_reader *r, int cgroup)
{
	const int64_t end = deadline_clock_ms() + 3000 * DEADLINE_S;

	CHECK(output_bed_stat(0).st_blocks * 512ll > OUTPUT_BEHIND_MAX / 2);
	while (is_frozen(cgroup) && r->bad == 0 && deadline_clock_ms() < end)
		line_reader_read_some(r, sizeof(r->text), 100);
	CHECK(!is_frozen(cgroup) && r->bad == 0);
}

static void worker_far_ahead_is_frozen(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	_cleanup_pipe_ int out[2] = {-1, -1};
	struct line_reader r = {0};
	off_t size;
	pid_t pid;

	output_bed_begin();
	output_bed->cgroup = worker;
	CHECK(worker >= 0 && pipe2(out, O_CLOEXEC) == 0);
	r.fd = out[0];
	pid = children_fork(follower_run, out[1]);
	children_start(run_flood, worker);
	CHECK_UNTIL(is_frozen(worker));
	size = output_bed_stat(0).st_size;
	CHECK(size > OUTPUT_BEHIND_MAX && follower_ticks() && output_bed_stat(0).st_size == size);
	read_until_thawed(&r, worker);
	CHECK_UNTIL(is_frozen(worker));
	/* The follower is killed when it is somewhat behind: the worker stays frozen, and the next
	 * follower thaws it. */
	for (int i = 0; i < 256; i++)
		CHECK(line_reader_read_some(&r, sizeof(r.text), 1000 * DEADLINE_S));
	children_kill(pid);
	CHECK(is_frozen(worker));
	pid = children_fork(follower_run, out[1]);
	CHECK(follower_ticks() && is_frozen(worker));
	read_until_thawed(&r, worker);
	CHECK_UNTIL(is_frozen(worker));
	output_bed->leave = true;
	CHECK(children_exit_well(pid));
	CHECK_UNTIL(!is_frozen(worker));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(follower_killed),
	        CHECK_CASE(follower_killed_without_attributes),
	        CHECK_CASE(follower_killed_writing_a_file),
	        CHECK_CASE(follower_killed_while_blocked),
	        CHECK_CASE(follower_killed_in_a_line),
	        CHECK_CASE(worker_ends_while_blocked),
	        CHECK_CASE(follower_leaves),
	        CHECK_CASE(worker_far_ahead_is_frozen),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
