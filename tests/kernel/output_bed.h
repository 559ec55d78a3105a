/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For check_output: a directory in memory with the files of workers, processes that write to them,
 * one that follows them (as a supervisor does), and a reader that knows what must come.
 */
#pragma once

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "check_scratch.h"
#include "stream/output.h"

#define WRITERS 4
#define TICK_US 2000

/* What the follower is told, and what it tells. */
static struct output_bed {
	_Atomic int ended;  /* flushes and frees this file's output, and removes it; -1: none */
	_Atomic int tail;   /* puts the tail of this one's into text; -1: none */
	_Atomic bool stop;  /* flushes and frees all, and ends */
	_Atomic bool leave; /* frees all, without more, and ends */
	_Atomic unsigned int ticks;
	_Atomic int64_t longest_ns; /* between two ticks */
	char text[OUTPUT_TAIL_MAX];
	/* Set before it is started: */
	char dir[64];
	int n_files, cgroup;
	bool no_attributes;
	int first, n_lines; /* of each writer */
} * bed;

static inline void file_path(char path[128], int number)
{
	snprintf(path, 128, "%s/%d-1", bed->dir, number);
}

static inline int file_open(int number)
{
	char path[128];

	file_path(path, number);
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static inline struct stat file_stat(int number)
{
	struct stat st = {0};
	char path[128];

	file_path(path, number);
	stat(path, &st);
	return st;
}

static inline void bed_clean(void)
{
	char path[128];

	for (int i = 0; i < WRITERS; i++) {
		file_path(path, i);
		unlink(path);
	}
	memset(bed, 0, offsetof(struct output_bed, dir));
	bed->ended = bed->tail = bed->cgroup = -1;
	bed->n_files = 1;
	bed->no_attributes = false;
	bed->first = 0;
}

/* --- the follower --- */

static struct output *outputs[WRITERS];
static int64_t last_tick;

static inline void free_one(int i, bool flush)
{
	if (outputs[i] && flush)
		output_finish(outputs[i]);
	output_free(outputs[i], flush);
	outputs[i] = NULL;
}

static inline int on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);

	if (last_tick && now - last_tick > bed->longest_ns)
		bed->longest_ns = now - last_tick;
	last_tick = now;
	bed->ticks++;
	if (bed->ended >= 0) {
		free_one(bed->ended, true);
		bed->ended = -1;
	}
	if (bed->tail >= 0) {
		strcpy(bed->text, output_tail(outputs[bed->tail]));
		bed->tail = -1;
	}
	return sd_event_source_set_time(source, usec + TICK_US) < 0 ||
	                       sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0
	               ? -EINVAL
	               : 0;
}

/* As on a file system that has no attributes. */
static inline bool deny_attributes(void)
{
	struct sock_filter code[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsetxattr, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static inline bool follow_all(sd_event *loop)
{
	struct error err;

	for (int i = 0; i < bed->n_files; i++) {
		char path[128], prefix[32];

		file_path(path, i);
		snprintf(prefix, sizeof(prefix), "svc.%d | ", i);
		if (output_new(loop, path, prefix, bed->cgroup, &outputs[i], &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return false;
		}
	}
	return true;
}

/* With @fd as its standard output. Ends as a program does, so that what leaks is found. */
static inline void run_follower(int fd)
{
	struct stat st, other;
	_cleanup_(sd_event_unrefp) sd_event *loop = NULL;
	sd_event_source *timer = NULL;

	/* The reader's end isn't ours. */
	for (int i = 3; fstat(fd, &st) == 0 && i < 64; i++)
		if (i != fd && fstat(i, &other) == 0 && S_ISFIFO(other.st_mode) &&
		    other.st_ino == st.st_ino)
			close(i);
	signal(SIGPIPE, SIG_IGN);
	if (dup2(fd, STDOUT_FILENO) < 0 || sd_event_new(&loop) < 0 ||
	    sd_event_add_time_relative(loop, &timer, CLOCK_MONOTONIC, 0, 1, on_tick, NULL) < 0 ||
	    (bed->no_attributes && !deny_attributes()) || !follow_all(loop))
		exit(1);
	while (!bed->stop && !bed->leave)
		if (sd_event_run(loop, UINT64_MAX) < 0)
			exit(1);
	for (int i = 0; i < bed->n_files; i++)
		free_one(i, bed->stop);
	while (output_is_pending())
		if (sd_event_run(loop, UINT64_MAX) < 0)
			exit(1);
	sd_event_source_unref(timer);
	loop = sd_event_unref(loop);
	exit(0);
}

static inline void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static inline bool ends_well(pid_t pid)
{
	const time_t end = time(NULL) + DEADLINE_S;
	int status = -1;

	while (waitpid(pid, &status, WNOHANG) == 0 && time(NULL) < end)
		sched_yield();
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- writers, and who reads what they have written --- */

/* Line @n of a writer, which tells whether a byte of it is missing. */
static inline size_t line_make(char line[512], int writer, int n)
{
	const int fill = 1 + (n % 1000 * 7919 + writer * 131) % 200;
	int length = snprintf(line, 512, "%d %d ", writer, n);

	memset(line + length, 'a' + n % 26, fill);
	length += fill;
	length += snprintf(line + length, 32, " %d\n", n);
	return length;
}

/* Now and then it takes two writes to a line. */
static inline void run_writer(int number)
{
	_cleanup_close_ int fd = file_open(number);
	char line[512];

	for (int n = bed->first; n < bed->first + bed->n_lines; n++) {
		const size_t length = line_make(line, number, n);
		const size_t half = n % 5 == 0 ? length / 2 : 0;

		if (half && write(fd, line, half) != (ssize_t)half)
			_exit(1);
		if (write(fd, line + half, length - half) != (ssize_t)(length - half))
			_exit(1);
	}
}

struct reader {
	int fd;
	int next[WRITERS];   /* the line that must come */
	int beyond[WRITERS]; /* behind all that have come */
	int repeated;        /* lines that came once more */
	int cut;             /* beginnings of lines that must come */
	int bad;             /* lines that are none, or that come too early */
	char first_bad[1024];
	size_t n;
	char text[65536 + 4096];
};

static inline bool is_beginning(const struct reader *r, const char *text, size_t length)
{
	char whole[600];

	for (int i = 0; i < WRITERS; i++) {
		const int head = sprintf(whole, "svc.%d | ", i);

		if (length < head + line_make(whole + head, i, r->next[i]) &&
		    !memcmp(text, whole, length))
			return true;
	}
	return false;
}

/* After a kill some may come again, from any line on. */
static inline void read_line(struct reader *r, const char *text, size_t length)
{
	int writer = -1, tagged = -2, n = -1, head = 0;
	char expected[600], line[512];

	snprintf(expected, sizeof(expected), "%.*s", (int)length, text);
	if (sscanf(expected, "svc.%d | %n%d %d ", &tagged, &head, &writer, &n) == 3 &&
	    tagged == writer && writer >= 0 && writer < WRITERS && n >= 0 && n <= r->next[writer] &&
	    line_make(line, writer, n) == length - (size_t)head &&
	    !memcmp(text + head, line, length - (size_t)head)) {
		if (n < r->beyond[writer])
			r->repeated++;
		else
			r->beyond[writer] = n + 1;
		r->next[writer] = n + 1;
		return;
	}
	if (is_beginning(r, text, length - 1))
		r->cut++;
	else if (r->bad++ == 0)
		snprintf(r->first_bad, sizeof(r->first_bad), "%s", expected);
}

/* Reads at most @max bytes of what comes within @ms. Returns false if nothing came. */
static inline bool read_some(struct reader *r, size_t max, int ms)
{
	struct pollfd ready = {.fd = r->fd, .events = POLLIN};
	size_t done = 0;
	ssize_t got;
	char *end;

	if (max > sizeof(r->text) - r->n)
		max = sizeof(r->text) - r->n;
	if (poll(&ready, 1, ms) != 1)
		return false;
	got = read(r->fd, r->text + r->n, max);
	if (got <= 0)
		return false;
	r->n += got;
	while ((end = memchr(r->text + done, '\n', r->n - done))) {
		read_line(r, r->text + done, end + 1 - (r->text + done));
		done = end + 1 - r->text;
	}
	memmove(r->text, r->text + done, r->n - done);
	r->n -= done;
	return true;
}

static inline int lines_read(const struct reader *r)
{
	int sum = 0;

	for (int i = 0; i < WRITERS; i++)
		sum += r->beyond[i];
	return sum;
}

/* Until @n lines, each of them once at least, have come. */
static inline bool read_lines(struct reader *r, int n, size_t at_once)
{
	while (lines_read(r) < n && r->bad == 0)
		if (!read_some(r, at_once, 1000 * DEADLINE_S))
			return false;
	if (r->bad)
		fprintf(stderr, "%d bad lines; the first: %s\n", r->bad, r->first_bad);
	return r->bad == 0;
}

/* Each line came once, whole, and nothing else has come. */
static inline bool is_exact(const struct reader *r)
{
	return r->bad == 0 && r->repeated == 0 && r->cut == 0 && r->n == 0;
}

#define LINES     25000 /* of each of the four writers */
#define SLOW_PIPE 4096

static inline void close_pair(int (*pair)[2])
{
	cleanup_close(&(*pair)[0]);
	cleanup_close(&(*pair)[1]);
}

#define _cleanup_pair_ _cleanup_(close_pair)

static inline void start_writers(int n, int n_lines)
{
	bed->n_lines = n_lines;
	bed->n_files = n;
	for (int i = 0; i < n; i++)
		child_start(run_writer, i);
}

static inline bool write_text(int number, const char *text)
{
	_cleanup_close_ int fd = file_open(number);

	return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* What comes next is just this. */
static inline bool comes(int fd, const char *expected)
{
	size_t n = strlen(expected), at = 0;
	char text[4096];

	while (at < n) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		ssize_t got = poll(&ready, 1, 1000 * DEADLINE_S) == 1 ? read(fd, text, n - at) : 0;

		if (got <= 0 || memcmp(text, expected + at, got) != 0)
			return false;
		at += got;
	}
	return true;
}

/* The loop turned, several times, without ado. */
static inline bool turns(void)
{
	const unsigned int ticks = bed->ticks + 20;
	const time_t end = time(NULL) + DEADLINE_S;

	while ((int)(bed->ticks - ticks) < 0 && time(NULL) < end)
		sched_yield();
	return (int)(bed->ticks - ticks) >= 0;
}

/* --- the program --- */

/* Runs the cases in a mount namespace of their own, where the directory is. */
static inline int bed_run(const struct check_case *cases, size_t n)
{
	char dir[] = "/tmp/check-output-XXXXXX";
	int status = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	bed = mmap(NULL, sizeof(*bed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bed == MAP_FAILED || !mkdtemp(dir))
		return 1;
	strcpy(bed->dir, dir);
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", dir, "tmpfs", 0, "mode=755") == 0) {
		status = check_run(cases, n);
		umount2(dir, MNT_DETACH); /* of a case that failed some still have files open */
	} else {
		printf("FAILED sandbox: %s\n0 passed, 1 failed\n", strerror(errno));
	}
	rmdir(dir);
	return status;
}
