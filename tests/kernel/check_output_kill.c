/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/output: who follows is killed, or ends, at any time, and the next one goes on. Needs root.
 */
#include "output_bed.h"

#define LINE_MIN 10 /* a line has more bytes than that */

static void kill_and_go_on(bool no_attributes)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	struct reader r = {0};
	const int kills = 25;
	pid_t pid;

	bed_clean();
	bed->no_attributes = no_attributes;
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	r.fd = out[0];
	start_writers(WRITERS, LINES);
	for (int i = 1; i <= kills; i++) {
		const int until = WRITERS * LINES * i / (kills + 1);

		pid = child_fork(run_follower, out[1]);
		read_lines(&r, until, sizeof(r.text));
		kill_child(pid);
		CHECK(r.bad == 0 && lines_read(&r) >= until);
	}
	child_start(run_follower, out[1]);
	CHECK(read_lines(&r, WRITERS * LINES, sizeof(r.text)));
	CHECK(r.n == 0 && r.cut == 0);
	/* At most what was on its way of one of them, each time. */
	CHECK(r.repeated <= kills * 65536 / LINE_MIN);
	printf("   %d kills, %d lines of %d came twice\n", kills, r.repeated, WRITERS * LINES);
}

static void case_killed(void)
{
	kill_and_go_on(false);
}

static void case_killed_without_attributes(void)
{
	kill_and_go_on(true);
}

/* Into a file nothing waits, so that it is killed while it writes, or notes, or frees. In a file a
 * line may remain cut: it stands alone, and comes again. */
static void case_killed_into_a_file(void)
{
	const int kills = 25;
	_cleanup_close_ int fd = -1;
	struct reader r = {0};
	char path[128];
	struct stat st;
	pid_t pid;

	bed_clean();
	snprintf(path, sizeof(path), "%s/log", bed->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	r.fd = open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	CHECK(fd >= 0 && socket_keep(r.fd) >= 0);
	start_writers(WRITERS, 4 * LINES);
	for (int i = 0; i < WRITERS; i++)
		CHECK(waitpid(children[i], NULL, 0) == children[i]);
	for (int i = 1; i <= kills; i++) {
		pid = child_fork(run_follower, fd);
		CHECK_COMES(fstat(fd, &st) == 0 && st.st_size > i * (1 << 20) + i * 997);
		kill_child(pid);
	}
	child_start(run_follower, fd);
	bed->stop = true;
	CHECK_COMES(file_stat(0).st_nlink + file_stat(1).st_nlink + file_stat(2).st_nlink +
	                    file_stat(3).st_nlink ==
	            0);
	CHECK(read_lines(&r, WRITERS * 4 * LINES, sizeof(r.text)));
	CHECK(r.n == 0 && r.cut <= kills && r.repeated <= kills * 65536 / LINE_MIN);
	printf("   %d kills, %d lines of %d came twice, %d were cut\n", kills, r.repeated,
	       WRITERS * 4 * LINES, r.cut);
}

/* It waits, killed in that nothing comes twice: how far it came is noted to the line. */
static void case_killed_while_blocked(void)
{
	for (int i = 0; i < 2; i++) {
		_cleanup_pair_ int out[2] = {-1, -1};
		struct reader r = {0};
		pid_t pid;

		bed_clean();
		bed->no_attributes = i;
		CHECK(pipe2(out, O_CLOEXEC) == 0);
		r.fd = out[0];
		start_writers(1, LINES);
		CHECK(waitpid(children[0], NULL, 0) == children[0]);
		pid = child_fork(run_follower, out[1]);
		CHECK_COMES(turns());
		kill_child(pid);
		child_start(run_follower, out[1]);
		CHECK(read_lines(&r, LINES, sizeof(r.text)));
		CHECK(is_exact(&r));
		children_end();
	}
}

/* Part of a long line is out when it is killed: that stays alone, the line comes again, whole. */
static void case_killed_in_a_line(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	static char text[30000], line[30000 + 64];
	_cleanup_file_ FILE *file = NULL;
	pid_t pid;

	bed_clean();
	bed->n_files = 2;
	CHECK(pipe2(out, O_CLOEXEC) == 0 && fcntl(out[1], F_SETPIPE_SZ, SLOW_PIPE) > 0);
	memset(text, 'y', sizeof(text) - 2);
	text[sizeof(text) - 2] = '\n';
	CHECK(write_text(0, text));
	pid = child_fork(run_follower, out[1]);
	CHECK_COMES(turns());
	kill_child(pid);
	CHECK(write_text(1, "other\n"));
	child_start(run_follower, out[1]);
	file = fdopen(out[0], "r");
	CHECK(file);
	TAKE_FD(out[0]);
	CHECK(fgets(line, sizeof(line), file) && strlen(line) == SLOW_PIPE + 1);
	CHECK(!strncmp(line, "svc.0 | yyy", 11));
	for (int i = 0; i < 2; i++) {
		CHECK(fgets(line, sizeof(line), file));
		CHECK(!strcmp(line, "svc.1 | other\n") ||
		      (!strncmp(line, "svc.0 | ", 8) && !strcmp(line + 8, text)));
	}
}

/* A worker has ended, and our standard output is blocked: the loop turns, the file stays until all
 * of it has gone, and if we are killed before, then the next one passes it on. */
static void case_ended_while_blocked(void)
{
	for (int killed = 0; killed < 2; killed++) {
		_cleanup_pair_ int out[2] = {-1, -1};
		struct reader r = {0};
		pid_t pid;

		bed_clean();
		CHECK(pipe2(out, O_CLOEXEC) == 0);
		r.fd = out[0];
		start_writers(1, LINES);
		CHECK(waitpid(children[0], NULL, 0) == children[0]);
		pid = child_fork(run_follower, out[1]);
		bed->ended = 0;
		CHECK_COMES(bed->ended < 0);
		CHECK(turns() && file_stat(0).st_nlink == 1);
		if (killed) {
			kill_child(pid);
			pid = child_fork(run_follower, out[1]);
		}
		bed->stop = true;
		CHECK(read_lines(&r, LINES, sizeof(r.text)) && r.repeated == 0);
		CHECK(ends_well(pid));
		CHECK(file_stat(0).st_nlink == 0);
		children_end();
	}
}

/* Only stops following: nothing comes twice, nothing is lost. */
static void case_left(void)
{
	_cleanup_pair_ int out[2] = {-1, -1};
	struct reader r = {0};
	pid_t pid;

	bed_clean();
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	r.fd = out[0];
	start_writers(2, LINES);
	for (int i = 0; i < 2; i++)
		CHECK(waitpid(children[i], NULL, 0) == children[i]);
	pid = child_fork(run_follower, out[1]);
	CHECK(read_lines(&r, LINES / 10, 4096));
	bed->leave = true;
	CHECK(ends_well(pid));
	bed->leave = false;
	child_start(run_follower, out[1]);
	CHECK(read_lines(&r, 2 * LINES, sizeof(r.text)));
	CHECK(is_exact(&r));
}

/* --- the freezer --- */

static void run_flood(int fd)
{
	_cleanup_close_ int file = file_open(0);
	static char text[1 << 20];
	size_t length = 0;

	scratch_enter(fd);
	for (int n = 0;; n++) {
		length += line_make(text + length, 0, n);
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

/* Reads until the worker runs again: not before half of what it may be behind is left. */
static void read_until_thawed(struct reader *r, int cgroup)
{
	const time_t end = time(NULL) + 3 * DEADLINE_S;

	CHECK(file_stat(0).st_blocks * 512ll > OUTPUT_BEHIND_MAX / 2);
	while (is_frozen(cgroup) && r->bad == 0 && time(NULL) < end)
		read_some(r, sizeof(r->text), 100);
	CHECK(!is_frozen(cgroup) && r->bad == 0);
}

static void case_freezer(void)
{
	_cleanup_scratch_ struct scratch s = scratch_make();
	_cleanup_close_ int worker = cgroup_make(s.path, "0-1", &(struct error){0});
	_cleanup_pair_ int out[2] = {-1, -1};
	struct reader r = {0};
	off_t size;
	pid_t pid;

	bed_clean();
	bed->cgroup = worker;
	CHECK(worker >= 0 && pipe2(out, O_CLOEXEC) == 0);
	r.fd = out[0];
	pid = child_fork(run_follower, out[1]);
	child_start(run_flood, worker);
	CHECK_COMES(is_frozen(worker));
	size = file_stat(0).st_size;
	CHECK(size > OUTPUT_BEHIND_MAX && turns() && file_stat(0).st_size == size);
	read_until_thawed(&r, worker);
	CHECK(!failure[0]);
	CHECK_COMES(is_frozen(worker));
	/* Killed, when it is somewhat behind: it stays so, and is the next one's to end. */
	for (int i = 0; i < 256; i++)
		CHECK(read_some(&r, sizeof(r.text), 1000 * DEADLINE_S));
	kill_child(pid);
	CHECK(is_frozen(worker));
	pid = child_fork(run_follower, out[1]);
	CHECK(turns() && is_frozen(worker));
	read_until_thawed(&r, worker);
	CHECK(!failure[0]);
	CHECK_COMES(is_frozen(worker));
	bed->leave = true;
	CHECK(ends_well(pid));
	CHECK_COMES(!is_frozen(worker));
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"killed", case_killed},
	        {"killed without attributes", case_killed_without_attributes},
	        {"killed into a file", case_killed_into_a_file},
	        {"killed while blocked", case_killed_while_blocked},
	        {"killed in a line", case_killed_in_a_line},
	        {"ended while blocked", case_ended_while_blocked},
	        {"left", case_left},
	        {"freezer", case_freezer},
	};

	return bed_run(cases, ARRAY_SIZE(cases));
}
