/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/output: nothing is lost, torn or mixed, and the loop turns, whatever our standard output
 * is and however slow. Needs root. */
#include <pty.h>
#include <sys/socket.h>
#include <termios.h>

#include "output_bed.h"

static void case_four_writers(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	struct reader r = {0};
	pid_t pid;

	bed_clean();
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	r.fd = out[0];
	start_writers(WRITERS, LINES);
	pid = child_start(run_follower, out[1]);
	CHECK(read_lines(&r, WRITERS * LINES, sizeof(r.text)));
	CHECK(lines_read(&r) == WRITERS * LINES && is_exact(&r));
	bed->stop = true;
	CHECK(ends_well(pid));
	CHECK(!read_some(&r, 1, 0));
	for (int i = 0; i < WRITERS; i++)
		CHECK(file_stat(i).st_nlink == 0);
}

/* A batch of one of them doesn't wait until another has nothing more to say. */
static void case_each_in_turn(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	struct reader r = {0};

	bed_clean();
	CHECK(pipe2(out, O_CLOEXEC) == 0 && fcntl(out[1], F_SETPIPE_SZ, SLOW_PIPE) > 0);
	r.fd = out[0];
	start_writers(WRITERS, LINES);
	for (int i = 0; i < WRITERS; i++)
		CHECK(waitpid(children[i], NULL, 0) == children[i]);
	child_start(run_follower, out[1]);
	CHECK(read_lines(&r, WRITERS * LINES / 2, sizeof(r.text)));
	for (int i = 0; i < WRITERS; i++)
		CHECK(r.beyond[i] > LINES / 4 && r.beyond[i] < LINES * 3 / 4);
}

static void case_slow_reader(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	struct reader r = {0};

	bed_clean();
	CHECK(pipe2(out, O_CLOEXEC) == 0 && fcntl(out[1], F_SETPIPE_SZ, SLOW_PIPE) > 0);
	r.fd = out[0];
	start_writers(WRITERS, 2000);
	child_start(run_follower, out[1]);
	CHECK(read_lines(&r, WRITERS * 2000, 97));
	CHECK(is_exact(&r));
}

static bool open_terminal(int pair[2])
{
	struct termios raw;

	if (openpty(&pair[0], &pair[1], NULL, NULL, NULL) < 0 || tcgetattr(pair[1], &raw) < 0)
		return false;
	cfmakeraw(&raw);
	return tcsetattr(pair[1], TCSANOW, &raw) == 0;
}

/* Whatever our standard output is: it takes nothing, the loop turns; it takes all, all comes. */
static void case_blocked(void)
{
	for (int kind = 0; kind < 4; kind++) {
		_cleanup_pair_ int out[2] = {-1, -1};
		struct reader r = {0};
		struct stat st;
		pid_t pid;

		bed_clean();
		CHECK(kind < 2    ? pipe2(out, O_CLOEXEC) == 0
		      : kind == 2 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) == 0
		                  : open_terminal(out));
		CHECK(kind != 1 || fcntl(out[1], F_SETFL, O_NONBLOCK) == 0);
		r.fd = out[0];
		start_writers(2, LINES / 2);
		pid = child_start(run_follower, out[1]);
		for (int i = 0; i < 2; i++)
			CHECK(waitpid(children[i], NULL, 0) == children[i]);
		CHECK(turns() && turns() && bed->longest_ns < 2 * NS_PER_S * slow());
		st = file_stat(0);
		CHECK(st.st_size > 1 << 20 && st.st_blocks * 512 > st.st_size / 2);
		CHECK(kind == 1 || !(fcntl(out[1], F_GETFL) & O_NONBLOCK));
		CHECK(read_lines(&r, LINES, sizeof(r.text)));
		CHECK(is_exact(&r));
		bed->stop = true;
		CHECK(ends_well(pid));
		children_end();
	}
}

static void case_to_a_file(void)
{
	_cleanup_close_ int fd = -1;
	struct reader r = {0};
	char path[128];
	pid_t pid;

	bed_clean();
	snprintf(path, sizeof(path), "%s/log", bed->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	start_writers(WRITERS, LINES);
	pid = child_start(run_follower, fd);
	for (int i = 0; i < WRITERS; i++)
		CHECK(waitpid(children[i], NULL, 0) == children[i]);
	CHECK(turns());
	bed->stop = true;
	CHECK(ends_well(pid));
	close(fd);
	fd = r.fd = open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	CHECK(read_lines(&r, WRITERS * LINES, sizeof(r.text)));
	CHECK(is_exact(&r) && !read_some(&r, 1, 0));
}

/* 64 KiB and no more are a line; what is longer comes as several. */
static void case_long_lines(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	_cleanup_close_ int fd = -1;
	static char text[OUTPUT_LINE_MAX + 2], line[OUTPUT_LINE_MAX + 64];
	_cleanup_file_ FILE *file = NULL;

	bed_clean();
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	memset(text, 'x', OUTPUT_LINE_MAX);
	text[OUTPUT_LINE_MAX] = '\n';
	fd = file_open(0);
	CHECK(write(fd, text, OUTPUT_LINE_MAX + 1) == OUTPUT_LINE_MAX + 1);
	for (int i = 0; i < 2; i++)
		CHECK(write(fd, text, OUTPUT_LINE_MAX) == OUTPUT_LINE_MAX);
	CHECK(write_text(0, "rest\nnext\n"));
	child_start(run_follower, out[1]);
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

static void case_unfinished(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	struct pollfd ready = {.events = POLLIN};
	pid_t pid;

	bed_clean();
	bed->n_files = 2;
	CHECK(pipe2(out, O_CLOEXEC) == 0 && write_text(0, "one\ntw"));
	pid = child_start(run_follower, out[1]);
	ready.fd = out[0];
	CHECK(comes(out[0], "svc.0 | one\n") && turns());
	CHECK(poll(&ready, 1, 0) == 0);
	CHECK(write_text(1, "other\n") && comes(out[0], "svc.1 | other\n"));
	CHECK(write_text(0, "o\nthree") && comes(out[0], "svc.0 | two\n") && turns());
	CHECK(poll(&ready, 1, 0) == 0 && file_stat(0).st_nlink == 1);
	bed->ended = 0;
	CHECK(comes(out[0], "svc.0 | three\n"));
	CHECK_COMES(file_stat(0).st_nlink == 0);
	bed->stop = true;
	CHECK(ends_well(pid));
	CHECK(poll(&ready, 1, 0) == 0);
}

/* What has been passed on takes no memory, however much it was. */
static void case_memory(void)
{
	for (int i = 0; i < 2; i++) {
		_cleanup_pair_ int out[2] = {-1, -1};
		struct reader r = {0};

		bed_clean();
		bed->no_attributes = i;
		CHECK(pipe2(out, O_CLOEXEC) == 0);
		r.fd = out[0];
		bed->n_lines = 5000;
		child_start(run_follower, out[1]);
		for (bed->first = 0; bed->first < 100000; bed->first += bed->n_lines) {
			run_writer(0);
			CHECK(read_lines(&r, bed->first + bed->n_lines, sizeof(r.text)));
			CHECK_COMES(file_stat(0).st_blocks * 512 <= 2 * sysconf(_SC_PAGESIZE));
		}
		CHECK(file_stat(0).st_size > 10 << 20);
		children_end();
	}
}

/* Nobody reads any more: it goes on, and frees what comes. */
static void case_nobody_reads(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	pid_t pid;

	bed_clean();
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	pid = child_start(run_follower, out[1]);
	CHECK(turns());
	close(out[0]);
	close(out[1]);
	out[0] = out[1] = -1;
	start_writers(1, LINES);
	CHECK(waitpid(children[1], NULL, 0) == children[1]);
	CHECK_COMES(file_stat(0).st_blocks * 512 <= 2 * sysconf(_SC_PAGESIZE));
	bed->stop = true;
	CHECK(ends_well(pid));
}

/* Such as by `echo > /dev/stdout` of a worker. */
static void case_truncated(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	char path[128];

	bed_clean();
	file_path(path, 0);
	CHECK(pipe2(out, O_CLOEXEC) == 0 && write_text(0, "before\nbefore\n"));
	child_start(run_follower, out[1]);
	CHECK(comes(out[0], "svc.0 | before\nsvc.0 | before\n") && turns());
	CHECK(truncate(path, 0) == 0 && turns());
	CHECK(write_text(0, "a\n") && comes(out[0], "svc.0 | a\n"));
	CHECK(write_text(0, "b\n") && comes(out[0], "svc.0 | b\n"));
}

static bool tail_is(const char *expected)
{
	const time_t end = time(NULL) + DEADLINE_S;

	bed->tail = 0;
	while (bed->tail >= 0 && time(NULL) < end)
		sched_yield();
	return bed->tail < 0 && !strcmp(bed->text, expected);
}

static void case_tail(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	char lines[9000] = "", *kept;
	pid_t pid;

	bed_clean();
	CHECK(pipe2(out, O_CLOEXEC) == 0 && fcntl(out[1], F_SETPIPE_SZ, SLOW_PIPE) > 0);
	pid = child_fork(run_follower, out[1]);
	CHECK(tail_is(""));
	CHECK(write_text(0, "a\nb\n") && comes(out[0], "svc.0 | a\nsvc.0 | b\n"));
	CHECK(tail_is("a\nb\n"));
	CHECK(write_text(0, "un") && tail_is("a\nb\nun"));
	for (int i = 0; i < 800; i++)
		sprintf(lines + strlen(lines), "line %d\n", i);
	/* Of 4095 bytes the first line may be cut off: it isn't shown then. */
	kept = strchr(lines + strlen(lines) - (OUTPUT_TAIL_MAX - 1), '\n') + 1;
	CHECK(write_text(0, "\n") && write_text(0, lines));
	CHECK(turns() && tail_is(kept)); /* some passed on, some not: the pipe is full */
	kill_child(pid);
	pid = child_fork(run_follower, out[1]);
	CHECK(tail_is(kept));
	kill_child(pid);
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"four writers", case_four_writers},
	        {"each in turn", case_each_in_turn},
	        {"slow reader", case_slow_reader},
	        {"blocked", case_blocked},
	        {"to a file", case_to_a_file},
	        {"long lines", case_long_lines},
	        {"unfinished", case_unfinished},
	        {"memory", case_memory},
	        {"nobody reads", case_nobody_reads},
	        {"truncated", case_truncated},
	        {"tail", case_tail},
	};

	return bed_run(cases, ARRAY_SIZE(cases));
}
