/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preparation happens in the parent (spawn_plan.c). Between clone3() and exec() the child makes
 * system calls only: another thread of ours may have held a lock of libc. For the same reason the
 * child changes its credentials by bare system calls: those of libc would signal all threads.
 */
#include "kern/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path_search.h"
#include "kern/file_limit.h"
#include "kern/proc_read.h"
#include "kern/spawn_plan.h"

/* How long a child may take until exec(): while it runs, and while it sleeps. */
#define SPAWN_PATIENCE_MS 2000
#define SPAWN_CHECK_MS    100

/* The steps of the child, in this order. */
enum step {
	STEP_SESSION,
	STEP_DESCRIPTORS,
	STEP_GROUPS,
	STEP_GROUP,
	STEP_USER,
	STEP_CONFINE,
	STEP_DIRECTORY,
	STEP_EXEC,
	STEP_INTERPRETER, /* as STEP_EXEC, but the file itself exists */
};

/* The report of a child that fails, by a pipe that exec() closes. */
struct report {
	enum step step;
	int error;
};

/* --- in the child --- */

static _Noreturn void spawn_report_failure(int pipe, enum step step, int error)
{
	const struct report report = {step, error};

	/* The report fits into the pipe; without a reader it has no use. */
	if (write(pipe, &report, sizeof(report)) != sizeof(report))
		_exit(126);
	_exit(127);
}

static void spawn_reset_signals(void)
{
	const struct sigaction by_default = {.sa_handler = SIG_DFL};
	sigset_t none;

	/* Fails for signals that can't be handled. */
	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &by_default, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool spawn_is_target(const struct spawn_plan *plan, int number)
{
	for (size_t i = 0; i < plan->n_fds; i++)
		if (plan->fds[i].target == number)
			return true;
	return false;
}

/*
 * Puts each descriptor at its number. First all of them, and the pipe's, are moved above every
 * target. Then the pipe is the first descriptor above the targets, and our others are closed: a
 * child that does not get to exec() must not keep what belongs to them, such as a service's lock.
 */
static void spawn_place_descriptors(struct spawn_plan *plan, int *pipe)
{
	const int above = fcntl(*pipe, F_DUPFD_CLOEXEC, plan->first_free + 1U);
	int r = above;

	if (above < 0)
		spawn_report_failure(*pipe, STEP_DESCRIPTORS, errno);
	*pipe = above;
	for (size_t i = 0; i < plan->n_fds && r >= 0; i++)
		r = plan->moved[i] = fcntl(plan->fds[i].fd, F_DUPFD_CLOEXEC, plan->first_free + 1U);
	for (size_t i = 0; i < plan->n_fds && r >= 0; i++)
		r = dup2(plan->moved[i], plan->fds[i].target);
	if (r >= 0)
		r = dup3(above, plan->first_free, O_CLOEXEC);
	if (r < 0)
		spawn_report_failure(*pipe, STEP_DESCRIPTORS, errno);
	*pipe = plan->first_free;
	for (int number = STDERR_FILENO + 1; number < plan->first_free; number++)
		if (!spawn_is_target(plan, number))
			close(number);
	if (syscall(SYS_close_range, plan->first_free + 1, ~0U, 0) < 0)
		spawn_report_failure(*pipe, STEP_DESCRIPTORS, errno);
}

static void spawn_change_credentials(const struct spawn_plan *plan, int pipe)
{
	const struct credentials *id = &plan->identity;

	/* A process with our session keyring may read our keys. Without the right to make another
	 * one, or without keyrings, the new user can't read keys either. */
	if (id->set_user)
		syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (id->set_group && syscall(SYS_setgroups, id->n_groups, id->groups) < 0)
		spawn_report_failure(pipe, STEP_GROUPS, errno);
	if (id->set_group && syscall(SYS_setresgid, id->gid, id->gid, id->gid) < 0)
		spawn_report_failure(pipe, STEP_GROUP, errno);
	if (id->set_user && syscall(SYS_setresuid, id->uid, id->uid, id->uid) < 0)
		spawn_report_failure(pipe, STEP_USER, errno);
	/* The kernel drops ambient capabilities by itself only if we were root; otherwise exec()
	 * would keep them. */
	if (id->set_user &&
	    syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 &&
	    errno != EINVAL)
		spawn_report_failure(pipe, STEP_USER, errno);
}

/* Without the capabilities that root has, and which exec() can't give back then. The kernel clears
 * the parent's death signal when the user changes, so this comes afterwards. */
static void spawn_confine(int pipe)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capset, &header, none) < 0 ||
	    syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		spawn_report_failure(pipe, STEP_CONFINE, errno);
}

static void spawn_write_pid(char *digits)
{
	char text[SPAWN_PID_DIGITS + 1];
	unsigned int pid = (unsigned int)getpid();
	size_t n = SPAWN_PID_DIGITS;

	text[n] = '\0';
	do {
		text[--n] = (char)('0' + pid % 10);
		pid /= 10;
	} while (pid && n);
	memcpy(digits, text + n, sizeof(text) - n);
}

static _Noreturn void spawn_run_child(const struct spawn_request *request, struct spawn_plan *plan,
                                      int pipe)
{
	int error = ENOENT;

	spawn_reset_signals();
	if (setsid() < 0)
		spawn_report_failure(pipe, STEP_SESSION, errno);
	spawn_place_descriptors(plan, &pipe);
	file_limit_restore(); /* a system call only */
	spawn_change_credentials(plan, pipe);
	if (request->confined)
		spawn_confine(pipe);
	if (request->cwd && chdir(request->cwd) < 0)
		spawn_report_failure(pipe, STEP_DIRECTORY, errno);
	if (plan->pid_digits)
		spawn_write_pid(plan->pid_digits);
	for (char **path = plan->candidates; *path; path++) {
		execve(*path, request->argv, plan->env);
		if (errno == ENOENT && access(*path, F_OK) == 0)
			spawn_report_failure(pipe, STEP_INTERPRETER, ENOENT);
		if (errno == EACCES) /* as in a shell: another file may be allowed */
			error = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			spawn_report_failure(pipe, STEP_EXEC, errno);
	}
	spawn_report_failure(pipe, STEP_EXEC, error);
}

/* --- here --- */

static int spawn_explain_exec(const char *name, const char *path, int error, struct error *err)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		if (strchr(name, '/'))
			return error_set(err, -error, "can't start '%s': there is no such file",
			                 name);
		return error_set(err, -error, "can't start '%s': no such program in PATH (%s)",
		                 name, path ? path : PATH_SEARCH_DEFAULT);
	case EACCES:
		return error_set(
		        err, -error,
		        "can't start '%s': it isn't executable, or not by this user, or this "
		        "user may not enter a directory above it\n"
		        "see its rights: ls -l; make it executable: chmod +x",
		        name);
	case ENOEXEC:
		return error_set(err, -error,
		                 "can't start '%s': neither a binary for this machine nor a script "
		                 "with an interpreter: a script begins with a line like #!/bin/sh",
		                 name);
	case E2BIG:
		return error_set(err, -error,
		                 "can't start '%s': its arguments and environment are too long",
		                 name);
	default:
		return error_set(err, -error, "can't start '%s': %s", name, strerror(error));
	}
}

static int spawn_explain_child(const struct spawn_request *request, const struct spawn_plan *plan,
                               const struct report *report, struct error *err)
{
	const char *name = request->argv[0], *why = strerror(report->error);

	switch (report->step) {
	case STEP_SESSION:
		return error_set(err, -report->error,
		                 "can't start '%s': can't make a session for it: %s", name, why);
	case STEP_DESCRIPTORS:
		return error_set(err, -report->error,
		                 "can't start '%s': its descriptors can't be placed: %s%s", name,
		                 why,
		                 report->error == EMFILE || report->error == EINVAL
		                         ? "\nraise the limit of open files: ulimit -n, "
		                           "LimitNOFILE="
		                         : "");
	case STEP_GROUPS:
	case STEP_GROUP:
	case STEP_USER:
		return error_set(err, -report->error, "can't start '%s': can't become %s %s: %s%s",
		                 name, report->step == STEP_USER ? "user" : "group",
		                 report->step == STEP_USER || !request->group ? request->user
		                                                              : request->group,
		                 why,
		                 report->error == EPERM ? "\nrun as root, or give reuseportd "
		                                          "CAP_SETUID and CAP_SETGID"
		                                        : "");
	case STEP_CONFINE:
		return error_set(err, -report->error,
		                 "can't start '%s': can't drop its capabilities: %s", name, why);
	case STEP_DIRECTORY:
		return error_set(err, -report->error,
		                 "can't start '%s': can't change to directory '%s': %s", name,
		                 request->cwd, why);
	case STEP_INTERPRETER:
		return error_set(err, -report->error,
		                 "can't start '%s': the interpreter in its first line, or the "
		                 "loader of the binary, doesn't exist",
		                 name);
	default:
		return spawn_explain_exec(name, plan->path, report->error, err);
	}
}

static int spawn_explain_clone(const struct spawn_request *request, int error, struct error *err)
{
	const char *name = request->argv[0];

	switch (error) {
	case EAGAIN:
		return error_set(err, -error,
		                 "can't start '%s': the limit of processes is reached "
		                 "(ulimit -u, pids.max, TasksMax=)",
		                 name);
	case EBUSY:
		return error_set(
		        err, -error,
		        "can't start '%s': its cgroup has child cgroups with controllers, so "
		        "it can't have processes",
		        name);
	case ENODEV:
	case ENOENT:
		return error_set(err, -error, "can't start '%s': its cgroup was removed", name);
	default:
		return error_set(
		        err, -error, "can't start '%s': clone3: %s%s", name, strerror(error),
		        error == ENOSYS || error == EPERM ? "; a seccomp filter may forbid it"
		                                          : "");
	}
}

/* Like fork(), with all signals blocked in the child. */
static long spawn_clone(const struct spawn_request *request, uint64_t flags, int *pidfd)
{
	const int cgroup = request->cgroup;
	const struct clone_args args = {
	        .flags = flags | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
	        .pidfd = (uintptr_t)pidfd,
	        .exit_signal = SIGCHLD,
	        .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
	};

	return syscall(SYS_clone3, &args, sizeof(args));
}

/* In a PID namespace all processes end with the first one. */
static long spawn_clone_confined(const struct spawn_request *request, int *pidfd)
{
	const long pid = request->confined ? spawn_clone(request, CLONE_NEWPID, pidfd) : -1;

	return pid >= 0 ? pid : spawn_clone(request, 0, pidfd);
}

/*
 * Waits until the child has executed the program. Returns 0, or 1 with the report of its failure.
 * The child already runs as the worker's user. Processes of this user can delay it: stop it, or
 * hold a lease on the program (fcntl(2), F_SETLEASE). If it sleeps for long it counts as started,
 * although exec() may still fail.
 */
static int spawn_await_exec(int pipe, pid_t pid, struct report *ret)
{
	struct pollfd end = {.fd = pipe, .events = POLLIN};

	for (int waited = 0; waited < SPAWN_PATIENCE_MS; waited += SPAWN_CHECK_MS) {
		const int r = poll(&end, 1, SPAWN_CHECK_MS);

		if (r > 0)
			return read(pipe, ret, sizeof(*ret)) == sizeof(*ret);
		if (r == 0 && proc_read_state(pid) != 'R')
			break;
	}
	return 0;
}

/* A process that traces the child may keep it from being reaped. The caller's loop reaps it later.
 */
static void spawn_end(pid_t pid, int pidfd)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	poll(&end, 1, SPAWN_CHECK_MS);
	waitpid(pid, NULL, WNOHANG);
}

/* Starts a child and waits for its exec(). Signals are blocked here until the child has been made.
 */
static int spawn_clone_and_exec(const struct spawn_request *request, struct spawn_plan *plan,
                                int *ret_pidfd, struct error *err)
{
	_cleanup_close_ int pidfd = -1;
	_cleanup_close_ int ours = -1;
	_cleanup_close_ int theirs = -1;
	sigset_t all, before;
	struct report report;
	int pipe[2], error;
	long pid;

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return error_set(err, -errno, "can't start '%s': can't make a pipe: %s",
		                 request->argv[0], strerror(errno));
	ours = pipe[0];
	theirs = pipe[1];
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = spawn_clone_confined(request, &pidfd);
	error = errno;
	if (pid == 0)
		spawn_run_child(request, plan, theirs);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return spawn_explain_clone(request, error, err);
	close(TAKE_FD(theirs));
	if (spawn_await_exec(ours, (pid_t)pid, &report)) {
		spawn_end((pid_t)pid, pidfd);
		return spawn_explain_child(request, plan, &report, err);
	}
	*ret_pidfd = TAKE_FD(pidfd);
	return (int)pid;
}

/* The errno that executing the file would give; 0 if it may succeed. */
static int spawn_check_file(int folder, const char *file)
{
	struct stat st;

	if (fstatat(folder, file, &st, 0) < 0)
		return errno == ENOENT || errno == ENOTDIR ? ENOENT : 0;
	return S_ISREG(st.st_mode) && st.st_mode & 0111 ? 0 : EACCES;
}

int spawn_check_program(const char *name, const char *path, const char *cwd, struct error *err)
{
	_cleanup_close_ int folder = open(cwd ? cwd : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char **candidates = path_search_candidates(name, path);
	int error = ENOENT;

	if (!candidates)
		return error_set(err, -ENOMEM, "out of memory");
	for (char **file = candidates; *file; file++) {
		const int why = spawn_check_file(folder, *file);

		if (!why)
			return 0;
		if (why == EACCES)
			error = EACCES;
	}
	return spawn_explain_exec(name, path, error, err);
}

int spawn_start(const struct spawn_request *request, int *ret_pidfd, struct error *err)
{
	_cleanup_(spawn_plan_deinit) struct spawn_plan plan = {.null_fd = -1};
	int r = spawn_plan_init(&plan, request, err);

	return r < 0 ? r : spawn_clone_and_exec(request, &plan, ret_pidfd, err);
}
