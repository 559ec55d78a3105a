/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With --leave-children a child is never traced, instead of being traced and detached. So it is not
 * stopped, and doesn't depend on this process. The kernel has one event for vfork(), one for a
 * clone() with a child that sends SIGCHLD at its end, and one for other calls of clone(). Only the
 * last one is requested: it reports threads, which are traced, and processes that end with another
 * signal or none, which are detached.
 */
#include "trace.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_CALL   CALL_KIND_MAX
#define POINT_MAX 64

/* The tracees */

static struct tracee *trace_get_tracee(struct trace *trace, pid_t tid)
{
	for (size_t i = 0; i < trace->n; i++) {
		if (trace->tracees[i].tid == tid)
			return &trace->tracees[i];
	}
	trace->tracees = reallocarray(trace->tracees, trace->n + 1, sizeof(*trace->tracees));
	if (!trace->tracees)
		err(EXIT_FAILURE, "tracee %d", tid);
	trace->tracees[trace->n] = (struct tracee){.tid = tid, .call = NO_CALL};
	return &trace->tracees[trace->n++];
}

static void trace_forget_tracee(struct trace *trace, pid_t tid)
{
	struct tracee *tracee = trace_get_tracee(trace, tid);

	*tracee = trace->tracees[--trace->n];
}

/* ESRCH is not an error in this file: a tracee can be killed at any time. */
static void trace_resume_tracee(const struct trace *trace, pid_t tid, int signal)
{
	int request = trace->counting ? PTRACE_SYSCALL : PTRACE_CONT;

	if (ptrace(request, tid, NULL, (long)signal) < 0 && errno != ESRCH)
		err(EXIT_FAILURE, "resume %d", tid);
}

/* Whether --leave-children excludes @tid: it belongs to another process. */
static bool trace_is_left_alone(const struct trace *trace, pid_t tid)
{
	return trace->options->leave_children && syscall(SYS_tgkill, trace->root, tid, 0) < 0 &&
	       kill(tid, 0) == 0;
}

/* Counting */

/* Stops the other threads, such as one that a library started, so that they are resumed with
 * counting. */
static void trace_start_counting(struct trace *trace, pid_t tid)
{
	trace->counting = true;
	for (size_t i = 0; i < trace->n; i++) {
		if (trace->tracees[i].tid != tid)
			ptrace(PTRACE_INTERRUPT, trace->tracees[i].tid, NULL, NULL);
	}
}

/* A thread that calls execve() continues under the id of its process. */
static void trace_on_execve(struct trace *trace, pid_t tid)
{
	unsigned long former = 0;

	if (!trace->executed) {
		trace->executed = true;
		if (trace->options->skip_start)
			breakpoint_set(&trace->breakpoint, tid);
		else
			trace_start_counting(trace, tid);
		return;
	}
	ptrace(PTRACE_GETEVENTMSG, tid, NULL, &former);
	if (former && (pid_t)former != tid) {
		unsigned int call = trace_get_tracee(trace, (pid_t)former)->call;

		trace_get_tracee(trace, tid)->call = call;
		trace_forget_tracee(trace, (pid_t)former);
	}
}

/* Writes a point such as "read#3 entry": the third read() since counting started. */
static void trace_format_point(const struct trace *trace, unsigned int call, bool entry,
                               char buf[POINT_MAX])
{
	char name[POINT_MAX / 2];

	call_format(call, name, sizeof(name));
	snprintf(buf, POINT_MAX, "%s#%u %s", name, trace->calls[call], entry ? "entry" : "exit");
}

/*
 * Counts a system-call stop. Returns true if it is the stop to kill at. An exit is not counted if
 * its entry was not, as for the first execve.
 */
static bool trace_on_call(struct trace *trace, pid_t tid)
{
	struct tracee *tracee = trace_get_tracee(trace, tid);
	struct __ptrace_syscall_info info;
	char point[POINT_MAX];
	bool entry;
	unsigned int call;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) <= 0) {
		if (errno == ESRCH)
			return false;
		err(EXIT_FAILURE, "PTRACE_GET_SYSCALL_INFO");
	}
	entry = info.op == PTRACE_SYSCALL_INFO_ENTRY;
	call = entry ? call_kind(info.entry.nr, info.entry.args[0]) : tracee->call;
	tracee->call = entry ? call : NO_CALL;
	if (call == NO_CALL)
		return false;
	trace->calls[call] += entry;
	trace->stops++;
	trace_format_point(trace, call, entry, point);
	if (trace->options->list)
		printf("stop %" PRIu64 ": %s\n", trace->stops, point);
	if (trace->options->at_point ? strcmp(point, trace->options->at_point) != 0
	                             : trace->stops != trace->options->at)
		return false;
	printf("killed at stop %" PRIu64 ": %s\n", trace->stops, point);
	return true;
}

/*
 * Kills all tracees. A tracee that has not reported a stop yet is killed when it does, or by
 * PTRACE_O_EXITKILL.
 */
static void trace_kill_all(struct trace *trace)
{
	int status;
	pid_t tid;

	for (size_t i = 0; i < trace->n; i++)
		kill(trace->tracees[i].tid, SIGKILL);
	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (tid <= 0 || !WIFSTOPPED(status))
			continue;
		if (trace_is_left_alone(trace, tid))
			ptrace(PTRACE_DETACH, tid, NULL, NULL);
		else
			kill(tid, SIGKILL);
	}
}

static bool trace_is_stop_signal(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* Handles a stop and resumes the tracee. Returns false if this is the stop to kill at. */
static bool trace_on_stop(struct trace *trace, pid_t tid, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16;

	if (trace_is_left_alone(trace, tid)) {
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return true;
	}
	trace_get_tracee(trace, tid);
	if (signal == (SIGTRAP | 0x80)) {
		if (trace_on_call(trace, tid))
			return false;
		signal = 0;
	} else if (event == PTRACE_EVENT_STOP && trace_is_stop_signal(signal)) {
		ptrace(PTRACE_LISTEN, tid, NULL, NULL);
		return true;
	} else if (event) {
		if (event == PTRACE_EVENT_EXEC)
			trace_on_execve(trace, tid);
		signal = 0;
	} else if (signal == SIGTRAP && breakpoint_is_hit(&trace->breakpoint, tid)) {
		breakpoint_clear(&trace->breakpoint, tid);
		trace_start_counting(trace, tid);
		signal = 0;
	}
	trace_resume_tracee(trace, tid, signal);
	if (trace->n_stopping && event == PTRACE_EVENT_STOP && --trace->n_stopping == 0)
		printf("following\n");
	return true;
}

bool trace_follow(struct trace *trace)
{
	int status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (tid < 0)
			continue;
		if (WIFSTOPPED(status)) {
			if (!trace_on_stop(trace, tid, status)) {
				trace_kill_all(trace);
				return false;
			}
			continue;
		}
		trace_forget_tracee(trace, tid);
		if (tid == trace->root)
			trace->root_status = status;
	}
	return true;
}

/* The command */

static void trace_run_command(char **command, const int *go)
{
	char byte;

	close(go[1]);
	if (read(go[0], &byte, 1) < 0)
		_exit(EXIT_FAILURE);
	execvp(command[0], command);
	warn("%s", command[0]);
	_exit(EXIT_FAILURE);
}

/* The child waits until it is traced, then becomes the command. */
static void trace_start_command(struct trace *trace, long options)
{
	int go[2];

	/* Orphans become our children, so that the whole process tree is reaped when killat ends.
	 */
	if (!trace->options->leave_children &&
	    prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) < 0)
		err(EXIT_FAILURE, "PR_SET_CHILD_SUBREAPER");
	if (pipe2(go, O_CLOEXEC) < 0)
		err(EXIT_FAILURE, "pipe");
	trace->root = fork();
	if (trace->root < 0)
		err(EXIT_FAILURE, "fork");
	if (trace->root == 0)
		trace_run_command(trace->options->command, go);
	if (ptrace(PTRACE_SEIZE, trace->root, NULL, (void *)(options | PTRACE_O_EXITKILL)) < 0)
		err(EXIT_FAILURE, "trace %s", trace->options->command[0]);
	close(go[0]);
	close(go[1]);
}

/* Traces the threads of the process that are not traced yet. Returns their number. */
static size_t trace_seize_threads(struct trace *trace, long options)
{
	const struct dirent *entry;
	size_t before = trace->n;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", trace->root);
	dir = opendir(path);
	if (!dir)
		err(EXIT_FAILURE, "process %d", trace->root);
	while ((entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0)
			continue;
		if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)options) == 0)
			trace_get_tracee(trace, tid);
		else if (trace->n ==
		         0) /* a later thread may be traced already, or may have ended */
			err(EXIT_FAILURE, "trace process %d", trace->root);
	}
	closedir(dir);
	return trace->n - before;
}

/* Without PTRACE_O_EXITKILL: the process was not started here, and continues when killat ends. */
static void trace_seize_process(struct trace *trace, long options)
{
	trace->root = trace->options->pid;
	while (trace_seize_threads(trace, options))
		;
	trace->executed = trace->counting = true;
	trace->n_stopping = trace->n;
	for (size_t i = 0; i < trace->n; i++)
		ptrace(PTRACE_INTERRUPT, trace->tracees[i].tid, NULL, NULL);
}

void trace_begin(struct trace *trace)
{
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;

	if (!trace->options->leave_children)
		options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
	if (trace->options->pid)
		trace_seize_process(trace, options);
	else
		trace_start_command(trace, options);
}

void trace_end(struct trace *trace)
{
	free(trace->tracees);
}
