/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * killat: runs a command and kills it, with all its children, at its N-th system call. A test that
 * does so for every N has shown what a crash leaves behind at each point where the outside world
 * can tell the difference.
 *
 * It is not for faults inside the kernel or between two instructions of the program, and with more
 * than one thread or process the order of the calls, hence the meaning of N, can differ from run to
 * run.
 *
 * What is counted are ptrace's system-call stops, "entry" just before a call takes effect and
 * "exit" just after, over all threads and children. A call that does not return (exit_group) has
 * only its entry.
 */
#include <argp.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_KILLED 0
#define EXIT_USAGE  2
#define EXIT_ENDED  3

#define NO_CALL   UINT64_MAX
#define POINT_MAX 64
#define CALL_MAX  1024 /* numbers of system calls are below */

struct options {
	uint64_t at;          /* 0: not by number */
	const char *at_point; /* NULL: not by name */
	bool count;
	bool list;
	bool skip_start;
	char **command;
};

/* A thread that is traced. */
struct tracee {
	pid_t tid;
	uint64_t call; /* that it is in, and whose entry was counted; or NO_CALL */
};

struct trace {
	const struct options *options;
	struct tracee *tracees;
	size_t n;
	pid_t root;
	int root_status;
	bool executed; /* the command's first execve() is done */
	bool counting;
	uint64_t stops;
	unsigned int calls[CALL_MAX]; /* how often each has been entered */
	uint64_t entry;  /* the program's first instruction; a breakpoint while not counting */
	long entry_word; /* what is there */
};

/* System calls that reuseportd and a C library make; others are reported by their number. */
/* clang-format off */
#define CALL(name) [SYS_##name] = #name
static const char *const call_names[] = {
	CALL(accept4), CALL(bind), CALL(bpf), CALL(brk), CALL(chdir), CALL(clock_gettime),
	CALL(clock_nanosleep), CALL(clone), CALL(clone3), CALL(close), CALL(connect), CALL(dup),
	CALL(dup3), CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_pwait2), CALL(eventfd2),
	CALL(execve), CALL(exit), CALL(exit_group), CALL(fchmod), CALL(fchmodat), CALL(fchown),
	CALL(fcntl), CALL(flock), CALL(fsync), CALL(ftruncate), CALL(futex), CALL(getdents64),
	CALL(getpid), CALL(getrandom), CALL(getsockname), CALL(getsockopt), CALL(ioctl),
	CALL(kill), CALL(linkat), CALL(listen), CALL(lseek), CALL(mkdirat), CALL(mmap),
	CALL(mount), CALL(mprotect), CALL(munmap), CALL(newfstatat), CALL(openat),
	CALL(pidfd_getfd), CALL(pidfd_open), CALL(pidfd_send_signal), CALL(pipe2), CALL(ppoll),
	CALL(prctl), CALL(pread64), CALL(prlimit64), CALL(pwrite64), CALL(read), CALL(readlinkat),
	CALL(recvfrom), CALL(recvmsg), CALL(renameat2), CALL(rt_sigaction), CALL(rt_sigprocmask),
	CALL(sendmsg), CALL(sendto), CALL(setns), CALL(setsockopt), CALL(shutdown),
	CALL(signalfd4), CALL(socket), CALL(socketpair), CALL(statfs), CALL(statx),
	CALL(timerfd_create), CALL(timerfd_settime), CALL(umask), CALL(uname), CALL(unlinkat),
	CALL(wait4), CALL(waitid), CALL(write), CALL(writev), CALL(faccessat), CALL(getegid),
	CALL(geteuid), CALL(getgid), CALL(getppid), CALL(getuid), CALL(gettid), CALL(rseq),
	CALL(capget), CALL(kcmp),
	CALL(rt_sigreturn), CALL(sched_getaffinity), CALL(set_robust_list), CALL(set_tid_address),
	CALL(setsid), CALL(sigaltstack), CALL(tgkill), CALL(inotify_add_watch),
	CALL(inotify_init1), CALL(getcwd), CALL(fstat), CALL(madvise), CALL(mremap),
#ifdef SYS_open /* newer architectures have none of these */
	CALL(chmod), CALL(dup2), CALL(epoll_wait), CALL(link), CALL(mkdir), CALL(open),
	CALL(poll), CALL(readlink), CALL(rename), CALL(rmdir), CALL(unlink), CALL(vfork),
	CALL(access), CALL(arch_prctl), CALL(stat), CALL(lstat),
#endif
};
/* clang-format on */

/* The tracees */

static struct tracee *tracee_get(struct trace *trace, pid_t tid)
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

static void tracee_forget(struct trace *trace, pid_t tid)
{
	struct tracee *tracee = tracee_get(trace, tid);

	*tracee = trace->tracees[--trace->n];
}

/* ESRCH is no error anywhere here: a tracee can be killed at any time. */
static void tracee_resume(const struct trace *trace, pid_t tid, int signal)
{
	int request = trace->counting ? PTRACE_SYSCALL : PTRACE_CONT;

	if (ptrace(request, tid, NULL, (long)signal) < 0 && errno != ESRCH)
		err(EXIT_FAILURE, "resume %d", tid);
}

/* A breakpoint at the program's first instruction */

#if defined(__x86_64__)
static const uint8_t breakpoint[] = {0xcc}; /* int3; the program counter is past it */
#define PC_AFTER_BREAKPOINT 1
#elif defined(__aarch64__)
static const uint8_t breakpoint[] = {0x00, 0x00, 0x20, 0xd4}; /* brk #0 */
#define PC_AFTER_BREAKPOINT 0
#else
#error "--skip-start: what is a breakpoint here?"
#endif

static uint64_t program_entry(pid_t pid)
{
	char path[64];
	Elf64_auxv_t entry = {0};
	FILE *auxv;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	auxv = fopen(path, "re");
	if (!auxv)
		err(EXIT_FAILURE, "%s", path);
	while (entry.a_type != AT_ENTRY) {
		if (fread(&entry, sizeof(entry), 1, auxv) != 1)
			errx(EXIT_FAILURE, "%s: no AT_ENTRY", path);
	}
	fclose(auxv);
	return entry.a_un.a_val;
}

static void breakpoint_set(struct trace *trace, pid_t pid)
{
	long word;

	trace->entry = program_entry(pid);
	errno = 0;
	word = trace->entry_word = ptrace(PTRACE_PEEKTEXT, pid, (void *)trace->entry, NULL);
	memcpy(&word, breakpoint, sizeof(breakpoint));
	if (errno || ptrace(PTRACE_POKETEXT, pid, (void *)trace->entry, (void *)word) < 0)
		err(EXIT_FAILURE, "breakpoint at %#" PRIx64, trace->entry);
}

static bool breakpoint_is_hit(const struct trace *trace, pid_t tid)
{
	struct __ptrace_syscall_info info;

	return trace->entry && !trace->counting &&
	       ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) > 0 &&
	       info.instruction_pointer == trace->entry + PC_AFTER_BREAKPOINT;
}

static void breakpoint_clear(struct trace *trace, pid_t tid)
{
	if (ptrace(PTRACE_POKETEXT, tid, (void *)trace->entry, (void *)trace->entry_word) < 0)
		err(EXIT_FAILURE, "breakpoint");
#if defined(__x86_64__)
	if (ptrace(PTRACE_POKEUSER, tid, (void *)offsetof(struct user_regs_struct, rip),
	           (void *)trace->entry) < 0)
		err(EXIT_FAILURE, "program counter");
#endif
}

/* Counting */

/* What runs already (a thread that a library began) is stopped, to be resumed with counting. */
static void begin_to_count(struct trace *trace, pid_t tid)
{
	trace->counting = true;
	for (size_t i = 0; i < trace->n; i++) {
		if (trace->tracees[i].tid != tid)
			ptrace(PTRACE_INTERRUPT, trace->tracees[i].tid, NULL, NULL);
	}
}

/* With an execve() in a thread, that thread goes on under the id of its process. */
static void on_execve(struct trace *trace, pid_t tid)
{
	unsigned long former = 0;

	if (!trace->executed) {
		trace->executed = true;
		if (trace->options->skip_start)
			breakpoint_set(trace, tid);
		else
			begin_to_count(trace, tid);
		return;
	}
	ptrace(PTRACE_GETEVENTMSG, tid, NULL, &former);
	if (former && (pid_t)former != tid) {
		uint64_t call = tracee_get(trace, (pid_t)former)->call;

		tracee_get(trace, tid)->call = call;
		tracee_forget(trace, (pid_t)former);
	}
}

/* "bpf#3 entry": the third bpf() since the count began. */
static const char *point_format(const struct trace *trace, uint64_t call, bool entry,
                                char buf[POINT_MAX])
{
	unsigned int number = trace->calls[call % CALL_MAX];
	const char *where = entry ? "entry" : "exit";

	if (call < sizeof(call_names) / sizeof(*call_names) && call_names[call])
		snprintf(buf, POINT_MAX, "%s#%u %s", call_names[call], number, where);
	else
		snprintf(buf, POINT_MAX, "%" PRIu64 "#%u %s", call, number, where);
	return buf;
}

/*
 * Returns true when this is the stop to kill at. An exit whose entry was not counted (of the first
 * execve, above all) is not counted either.
 */
static bool on_call(struct trace *trace, pid_t tid)
{
	struct tracee *tracee = tracee_get(trace, tid);
	struct __ptrace_syscall_info info;
	char point[POINT_MAX];
	bool entry;
	uint64_t call;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) <= 0) {
		if (errno == ESRCH)
			return false;
		err(EXIT_FAILURE, "PTRACE_GET_SYSCALL_INFO");
	}
	entry = info.op == PTRACE_SYSCALL_INFO_ENTRY;
	call = entry ? info.entry.nr : tracee->call;
	tracee->call = entry ? call : NO_CALL;
	if (call == NO_CALL)
		return false;
	trace->calls[call % CALL_MAX] += entry;
	trace->stops++;
	point_format(trace, call, entry, point);
	if (trace->options->list)
		printf("stop %" PRIu64 ": %s\n", trace->stops, point);
	if (trace->options->at_point ? strcmp(point, trace->options->at_point) != 0
	                             : trace->stops != trace->options->at)
		return false;
	printf("killed at stop %" PRIu64 ": %s\n", trace->stops, point);
	return true;
}

/* Also those of which no stop was seen yet are caught: they stop first, or PTRACE_O_EXITKILL. */
static void kill_all(struct trace *trace)
{
	int status;
	pid_t tid;

	for (size_t i = 0; i < trace->n; i++)
		kill(trace->tracees[i].tid, SIGKILL);
	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (tid > 0 && WIFSTOPPED(status))
			kill(tid, SIGKILL);
	}
}

static bool is_stop_signal(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* Handles a stop and resumes. Returns false when all is to be killed. */
static bool on_stop(struct trace *trace, pid_t tid, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16;

	tracee_get(trace, tid);
	if (signal == (SIGTRAP | 0x80)) {
		if (on_call(trace, tid))
			return false;
		signal = 0;
	} else if (event == PTRACE_EVENT_STOP && is_stop_signal(signal)) {
		ptrace(PTRACE_LISTEN, tid, NULL, NULL);
		return true;
	} else if (event) {
		if (event == PTRACE_EVENT_EXEC)
			on_execve(trace, tid);
		signal = 0;
	} else if (signal == SIGTRAP && breakpoint_is_hit(trace, tid)) {
		breakpoint_clear(trace, tid);
		begin_to_count(trace, tid);
		signal = 0;
	}
	tracee_resume(trace, tid, signal);
	return true;
}

/* Follows the command until all of it has ended (true) or was killed (false). */
static bool follow(struct trace *trace)
{
	int status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (tid < 0)
			continue;
		if (WIFSTOPPED(status)) {
			if (!on_stop(trace, tid, status)) {
				kill_all(trace);
				return false;
			}
			continue;
		}
		tracee_forget(trace, tid);
		if (tid == trace->root)
			trace->root_status = status;
	}
	return true;
}

/* The command */

static void run_command(char **command, const int *go)
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
static void start(struct trace *trace)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
	                     PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int go[2];

	/* Orphans come to us: when we return, the whole tree is reaped, not only dead. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) < 0)
		err(EXIT_FAILURE, "PR_SET_CHILD_SUBREAPER");
	if (pipe2(go, O_CLOEXEC) < 0)
		err(EXIT_FAILURE, "pipe");
	trace->root = fork();
	if (trace->root < 0)
		err(EXIT_FAILURE, "fork");
	if (trace->root == 0)
		run_command(trace->options->command, go);
	if (ptrace(PTRACE_SEIZE, trace->root, NULL, (void *)options) < 0)
		err(EXIT_FAILURE, "trace %s", trace->options->command[0]);
	close(go[0]);
	close(go[1]);
}

/* Options */

enum {
	OPT_AT = 0x100,
	OPT_COUNT,
	OPT_LIST,
	OPT_SKIP_START,
};

static const struct argp_option option_table[] = {
        {"at", OPT_AT, "N|POINT", 0,
         "Kill at the N-th stop, from 1, or at one as --list prints it: \"bpf#3 exit\" is the end "
         "of "
         "the third bpf(), however many other calls there were before"},
        {"count", OPT_COUNT, 0, 0, "Kill nothing, only count the stops"},
        {"list", OPT_LIST, 0, 0, "The same, and print a line \"stop N: POINT\" for each"},
        {"skip-start", OPT_SKIP_START, 0, 0,
         "Begin to count when the program's entry point (AT_ENTRY) is reached, found by a "
         "breakpoint: without the calls of the dynamic loader and of the libraries' constructors. "
         "Only for the first execve, not for those that follow"},
        {0},
};

static void parse_at(const char *text, struct options *options, struct argp_state *state)
{
	char *end;

	if (strchr(text, '#')) {
		options->at_point = text;
		return;
	}
	errno = 0;
	options->at = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || options->at == 0)
		argp_error(state, "at: %s is neither a number from 1 nor a point", text);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case OPT_AT:
		parse_at(arg, options, state);
		return 0;
	case OPT_LIST:
		options->list = options->count = true;
		setvbuf(stdout, NULL, _IOLBF, 0); /* the command may print as well */
		return 0;
	case OPT_COUNT:
		options->count = true;
		return 0;
	case OPT_SKIP_START:
		options->skip_start = true;
		return 0;
	case ARGP_KEY_ARGS:
		options->command = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		if (!options->command)
			argp_error(state, "no command");
		if (options->count == (options->at > 0 || options->at_point))
			argp_error(state, "either --at, or --count or --list");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
        .options = option_table,
        .parser = parse_option,
        .args_doc = "CMD [ARG...]",
        .doc = "Runs CMD and kills it with all its children at its N-th system-call stop: each "
               "call "
               "has one just before and one just after it, counted over all threads and children "
               "from the end of CMD's execve.\v"
               "Prints \"killed at stop N: CALL#K entry|exit\", CALL being a name or number and "
               "this "
               "the K-th of it, or "
               "\"ended after K stops, exit status S\" (128 + the signal that killed it) once CMD "
               "and its children have ended.\n\n"
               "Exit status: 0 if it was killed (or with --count), 3 if CMD ended before, 1 if it "
               "could not be run or traced, 2 for bad usage.",
};

static int report_ended(const struct trace *trace)
{
	int status = trace->root_status;

	if (!trace->executed)
		return EXIT_FAILURE;
	printf("ended after %" PRIu64 " stops, exit status %d\n", trace->stops,
	       WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	return trace->options->count ? EXIT_SUCCESS : EXIT_ENDED;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct trace trace = {.options = &options};
	int status = EXIT_KILLED;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &options);
	start(&trace);
	if (follow(&trace))
		status = report_ended(&trace);
	free(trace.tracees);
	return status;
}
