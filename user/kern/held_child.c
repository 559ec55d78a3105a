/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/held_child.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/proc_read.h"

#define ALL_MAX     512
#define PATIENCE_MS 5  /* for the end of a child */
#define CHECK_MS    50 /* how often to look at a child that is still in @run */
/* A child that has not run between so many checks in a row is stuck. On a busy machine a child
 * may sleep for long without that, so the patience is large while there is no stuck one, and
 * none was stuck with the same process lately. */
#define ASLEEP_MAX 20
#define ASLEEP_MIN 2
/* If the call is not a long one, a child is also stuck that sleeps this many times as long in all,
 * or that has had a processor for so long. */
#define ASLEEP_ALL 3
#define RUN_MAX_NS (5 * NS_PER_S)

struct held_child {
	int pidfd;
	void (*run)(void *data);
	uint32_t cause; /* the process that it is stuck with, or 0 */
};

static struct held_child held_children[ALL_MAX]; /* not ended yet */
static size_t held_child_n;

#define PAST_MAX 32
#define PAST_NS  (60 * NS_PER_S)

/* A process that children were stuck with lately: it may let each of them go after a while. */
struct held_child_past {
	uint32_t pid;
	unsigned int times;
	int64_t at;
};

static struct held_child_past held_child_past[PAST_MAX];

/* Other descriptors of ours must not stay open in a child that can't end: a listener would go on to
 * get connections. Closing them is quick, as we have them open, too. */
static void held_child_close_all_but(const int keep[2], int another)
{
	const int kept[] = {keep[0], keep[1], another};
	unsigned int from = 0;

	while (from <= INT_MAX) {
		unsigned int next = (unsigned int)INT_MAX + 1; /* the next one that is kept */

		for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
			if (kept[i] >= 0 && (unsigned int)kept[i] >= from &&
			    (unsigned int)kept[i] < next)
				next = (unsigned int)kept[i];
		if (next > from)
			close_range(from, next - 1, 0);
		from = next + 1;
	}
}

void held_child_reap(void)
{
	size_t left = 0;

	for (size_t i = 0; i < held_child_n; i++) {
		siginfo_t info = {};
		const struct held_child child = held_children[i];

		if (waitid(P_PIDFD, (id_t)child.pidfd, &info, WEXITED | WNOHANG) == 0 &&
		    !info.si_pid)
			held_children[left++] = child;
		else
			close(child.pidfd);
	}
	held_child_n = left;
}

static size_t held_child_count(void (*run)(void *data))
{
	size_t n = 0;

	for (size_t i = 0; i < held_child_n; i++)
		n += held_children[i].run == run;
	return n;
}

static unsigned int held_child_count_past(uint32_t pid)
{
	const int64_t since = clock_ns(CLOCK_MONOTONIC) - PAST_NS;

	for (size_t i = 0; pid && i < PAST_MAX; i++)
		if (held_child_past[i].pid == pid && held_child_past[i].at > since)
			return held_child_past[i].times;
	return 0;
}

static void held_child_note_past(uint32_t pid)
{
	const struct held_child_past next = {pid, held_child_count_past(pid) + 1,
	                                     clock_ns(CLOCK_MONOTONIC)};
	struct held_child_past *at =
	        &held_child_past[0]; /* the same process, or the oldest entry */

	for (size_t i = 0; i < PAST_MAX && at->pid != pid; i++)
		if (held_child_past[i].pid == pid || held_child_past[i].at < at->at)
			at = &held_child_past[i];
	*at = next;
}

static void held_child_note_stuck(uint32_t pid)
{
	held_children[held_child_n - 1].cause = pid;
	if (pid)
		held_child_note_past(pid);
}

/* How many checks may find the child asleep. */
static unsigned int held_child_patience(const uint32_t *pid)
{
	const size_t times =
	        held_child_n - 1 +
	        (pid ? held_child_count_past(__atomic_load_n(pid, __ATOMIC_RELAXED)) : 0);

	return times < 4 ? ASLEEP_MAX >> times : ASLEEP_MIN;
}

/* How long a process had a processor, and how often: the first and the third number of its
 * schedstat (Documentation/scheduler/sched-stats.rst). 0: it can't be read. */
struct held_child_runs {
	long long ns, n;
};

static struct held_child_runs held_child_read_runs(pid_t pid)
{
	struct held_child_runs runs = {};
	char path[PROC_PATH_MAX], text[128];

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	if (proc_read_text(AT_FDCWD, path, text, sizeof(text)) < 0 ||
	    sscanf(text, "%lld %*u %lld", &runs.ns, &runs.n) != 2)
		return (struct held_child_runs){};
	return runs;
}

/* Waits until the child has written to the pipe. If it has only closed its end, it was killed.
 * @with: the process that it needs. */
static enum held_child_result held_child_await(int pipe, pid_t pid, bool is_long,
                                               const uint32_t *with)
{
	struct pollfd end = {.fd = pipe, .events = POLLIN};
	unsigned int asleep = 0, all = 0; /* checks that found it asleep: in a row, and in all */
	struct held_child_runs runs = {};
	char byte;

	while (asleep < held_child_patience(with) &&
	       (is_long ||
	        (all < ASLEEP_ALL * held_child_patience(with) && runs.ns < RUN_MAX_NS))) {
		const long long before = runs.n;

		if (poll(&end, 1, CHECK_MS) > 0)
			return read(pipe, &byte, 1) == 1 ? HELD_CHILD_DONE : HELD_CHILD_REFUSED;
		runs = held_child_read_runs(pid);
		if (runs.n != before || proc_read_state(pid) == 'R') {
			asleep = 0;
			continue;
		}
		asleep++;
		all++;
	}
	return HELD_CHILD_STUCK;
}

/* Returns the pid, and 0 in the child. A reaper (supervise/reaper.h) may reap it first: a child
 * that ends late, or after an exec(). */
static pid_t held_child_fork(int *ret_pidfd)
{
	const struct clone_args args = {
	        .flags = CLONE_PIDFD,
	        .pidfd = (uintptr_t)ret_pidfd,
	        .exit_signal = SIGCHLD,
	};
	sigset_t all, before;
	long pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid != 0)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return (pid_t)pid;
}

static enum held_child_result held_child_run_shared(const struct held_child_call *call,
                                                    void *shared, const uint32_t *needs)
{
	struct pollfd child = {.fd = -1, .events = POLLIN};
	_cleanup_close_ int ours = -1;
	_cleanup_close_ int theirs = -1;
	enum held_child_result result;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return HELD_CHILD_REFUSED;
	ours = ends[0];
	theirs = ends[1];
	pid = held_child_fork(&child.fd);
	if (pid == 0) {
		held_child_close_all_but(call->keep, theirs);
		call->run(shared);
		_exit(write(theirs, "", 1) != 1);
	}
	if (pid < 0)
		return HELD_CHILD_REFUSED;
	close(TAKE_FD(theirs));
	held_children[held_child_n++] = (struct held_child){.pidfd = child.fd, .run = call->run};
	result = held_child_await(ours, pid, call->is_long, needs);
	if (result == HELD_CHILD_STUCK) { /* a child that runs on might call @run to its end */
		syscall(SYS_pidfd_send_signal, child.fd, SIGKILL, NULL, 0);
		held_child_note_stuck(needs ? *needs : 0);
	}
	poll(&child, 1, PATIENCE_MS);
	return result;
}

enum held_child_result held_child_run(const struct held_child_call *call, void *data, size_t size)
{
	enum held_child_result result;
	const uint32_t *needs = NULL;
	void *shared;

	held_child_reap();
	if (held_child_n == ALL_MAX || held_child_count(call->run) >= call->max)
		return HELD_CHILD_REFUSED;
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return HELD_CHILD_REFUSED;
	memcpy(shared, data, size);
	if (call->pid)
		needs = (const uint32_t *)((char *)shared +
		                           ((const char *)call->pid - (char *)data));
	result = held_child_run_shared(call, shared, needs);
	memcpy(data, shared, size);
	munmap(shared, size);
	held_child_reap();
	return result;
}

/* Also called in a child, where the pidfds are closed. */
bool held_child_waits_for(uint32_t pid)
{
	for (size_t i = 0; i < held_child_n; i++)
		if (held_children[i].cause == pid)
			return true;
	return false;
}
