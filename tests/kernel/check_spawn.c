/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/spawn: it starts this program again, which prints what it has inherited. Needs root. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>

#include "base/cleanup.h"
#include "beds/cgroup_bed.h"
#include "beds/children.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "check/folder.h"
#include "kern/spawn.h"

#define SELF "/proc/self/exe"

/* ---- The process that is started ---- */

extern char **environ;

/* Prints a line on the state of this process, and waits to be killed. */
static int tell(int fd)
{
	const char *listen_pid = getenv("LISTEN_PID");
	char cwd[PATH_MAX] = "", line[PATH_MAX + 256];
	int handled = 0, blocked = 0, n_env = 0, ambient = 0, n;
	gid_t groups[64];
	struct sigaction action;
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int signal = 1; signal < NSIG; signal++) {
		blocked += sigismember(&mask, signal) == 1;
		/* The sanitizers of a development build install handlers for faults. */
		if (signal != SIGSEGV && signal != SIGBUS && signal != SIGFPE &&
		    sigaction(signal, NULL, &action) == 0)
			handled += action.sa_handler != SIG_DFL;
	}
	while (environ[n_env])
		n_env++;
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
		ambient += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1;
	if (!getcwd(cwd, sizeof(cwd)))
		return 1;
	n = snprintf(line, sizeof(line),
	             "session=%d uid=%d gid=%d groups=%d handled=%d blocked=%d listen_pid=%s "
	             "env=%d ambient=%d cwd=%s\n",
	             getsid(0) == getpid(), (int)geteuid(), (int)getegid(), getgroups(64, groups),
	             handled, blocked,
	             !listen_pid                    ? "none"
	             : atoi(listen_pid) == getpid() ? "own"
	                                            : "other",
	             n_env, ambient, cwd);
	if (write(fd, line, (size_t)n) != n)
		return 1;
	children_hold(-1);
}

/* ---- The cases ---- */

/* A child that is killed at the end of its scope. */
struct child {
	int pid, pidfd;
};

static void child_end(struct child *child)
{
	if (child->pid <= 0)
		return;
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	close(child->pidfd);
}

#define _cleanup_child_ _cleanup_(child_end)

/* Starts a process that prints its line to a pipe, and reads the line. */
static struct child start_telling(struct spawn_request request, char line[8192], struct error *err)
{
	static char *const argv[] = {SELF, "tell", NULL};
	static char *const no_env[] = {NULL};
	struct child child = {.pidfd = -1};
	struct spawn_fd out = {.target = STDOUT_FILENO};
	int pipe[2];
	ssize_t n = 0;

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return child;
	out.fd = pipe[1];
	request.argv = request.argv ? request.argv : argv;
	request.env = request.env ? request.env : no_env;
	request.fds = &out;
	request.n_fds = 1;
	memset(err, 0, sizeof(*err));
	child.pid = spawn_start(&request, &child.pidfd, err);
	close(pipe[1]);
	if (child.pid > 0)
		n = read(pipe[0], line, 8191);
	line[n > 0 ? n : 0] = '\0';
	close(pipe[0]);
	return child;
}

static void ignore_signal(int signal)
{
}

static void state_of_a_new_process(void)
{
	sigset_t mask, before;
	_cleanup_child_ struct child child = {0};
	struct pollfd end = {.events = POLLIN};
	char line[8192];
	struct error err;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, ignore_signal);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_SETMASK, &mask, &before);
	child = start_telling((struct spawn_request){.cgroup = -1}, line, &err);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	CHECK(sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 0);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	CHECK(child.pid > 0);
	CHECK(strstr(line, "session=1 uid=0 gid=0 "));
	CHECK(strstr(line, "handled=0 blocked=0 listen_pid=none env=0 "));
	end.fd = child.pidfd;
	CHECK(fcntl(child.pidfd, F_GETFD) == FD_CLOEXEC && poll(&end, 1, 0) == 0);
	kill(child.pid, SIGTERM);
	CHECK(poll(&end, 1, DEADLINE_S * 1000) == 1);
}

/* Whether the process, once it has reached main(), has exactly these descriptors. @expected:
 * inodes, 0 = any. */
static bool descriptors_are(int pid, const ino_t *expected, size_t n)
{
	char path[64];
	size_t found = 0;
	int status;
	DIR *dir;

	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	for (const struct dirent *entry; dir && (entry = readdir(dir));)
		found += isdigit(entry->d_name[0]) != 0;
	if (dir)
		closedir(dir);
	for (size_t fd = 0; fd < n; fd++) {
		struct stat st = {0};

		snprintf(path, sizeof(path), "/proc/%d/fd/%zu", pid, fd);
		if (expected[fd] && (stat(path, &st) < 0 || st.st_ino != expected[fd]))
			return false;
	}
	return found == n;
}

/* Targets that are each other's sources, one that is its own source, a source for two targets, and
 * other descriptors in between, some of them without close-on-exec. */
static void passed_descriptors(void)
{
	enum { N = 6 };
	_cleanup_child_ struct child child = {0};
	struct spawn_fd fds[N] = {0};
	char *argv[] = {SELF, "stop", NULL}, *env[] = {NULL};
	struct spawn_request request = {
	        .argv = argv, .env = env, .cgroup = -1, .fds = fds, .n_fds = N};
	int own[N];
	ino_t expected[3 + N] = {0};
	struct error err;
	struct stat null;

	for (int i = 0; i < N; i++) {
		own[i] = socket_bed_keep(
		        socket(AF_INET, SOCK_STREAM | (i % 2 ? SOCK_CLOEXEC : 0), 0));
		CHECK(own[i] >= 3);
	}
	/* Moves our descriptors to 3 .. 8, in the order 4, 3, 5 ... */
	for (int i = 0; i < N; i++)
		own[i] = socket_bed_keep(fcntl(own[i], F_DUPFD, 100));
	for (int i = 0; i < N; i++) {
		const int at = 3 + (i < 2 ? 1 - i : i);

		CHECK(dup2(own[i], at) == at);
		socket_bed_keep(at);
		fds[i] = (struct spawn_fd){.fd = at, .target = 3 + i};
		expected[3 + i] = socket_bed_inode(own[i]);
	}
	fds[N - 1].fd = fds[0].fd;
	expected[3 + N - 1] = expected[3];
	CHECK(stat("/dev/null", &null) == 0);
	expected[0] = null.st_ino;
	child.pid = spawn_start(&request, &child.pidfd, &err);
	CHECK(child.pid > 0);
	CHECK(descriptors_are(child.pid, expected, ARRAY_SIZE(expected)));
}

static void standard_descriptors(void)
{
	_cleanup_child_ struct child child = {0};
	const int fd = socket_bed_keep(socket(AF_INET, SOCK_STREAM, 0));
	const struct spawn_fd fds[] = {{fd, 2}, {fd, 0}};
	char *argv[] = {SELF, "stop", NULL}, *env[] = {NULL};
	struct spawn_request request = {
	        .argv = argv, .env = env, .cgroup = -1, .fds = fds, .n_fds = ARRAY_SIZE(fds)};
	const ino_t expected[] = {socket_bed_inode(fd), socket_bed_inode(STDOUT_FILENO),
	                          socket_bed_inode(fd)};
	struct error err;

	child.pid = spawn_start(&request, &child.pidfd, &err);
	CHECK(child.pid > 0);
	CHECK(descriptors_are(child.pid, expected, ARRAY_SIZE(expected)));
}

static void environment(void)
{
	static char *const env[] = {"A=1", "LISTEN_PID=1", "B=2", NULL};
	_cleanup_child_ struct child asked = {0};
	_cleanup_child_ struct child not_asked = {0};
	char line[8192];
	struct error err;

	asked = start_telling((struct spawn_request){.cgroup = -1, .env = env, .listen_pid = true},
	                      line, &err);
	CHECK(strstr(line, "listen_pid=own env=3 "));
	not_asked = start_telling((struct spawn_request){.cgroup = -1, .env = env}, line, &err);
	CHECK(strstr(line, "listen_pid=other env=3 "));
}

static void working_directory(void)
{
	_cleanup_child_ struct child child = {0};
	char line[8192];
	struct error err;

	child = start_telling((struct spawn_request){.cgroup = -1, .cwd = "/proc"}, line, &err);
	CHECK(strstr(line, "cwd=/proc\n"));
}

static void user_and_group(void)
{
	static const struct {
		const char *user, *group, *expected;
	} kinds[] = {
	        {"1234567", "7654321", "uid=1234567 gid=7654321 groups=1 "},
	        {NULL, "7654321", "uid=0 gid=7654321 groups=1 "},
	};
	const struct passwd *daemon = getpwnam("daemon");
	char line[8192], expected[64];
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_child_ struct child child = start_telling(
		        (struct spawn_request){
		                .cgroup = -1, .user = kinds[i].user, .group = kinds[i].group},
		        line, &err);

		CHECK(child.pid > 0 && strstr(line, kinds[i].expected));
	}
	if (daemon) {
		_cleanup_child_ struct child child = start_telling(
		        (struct spawn_request){.cgroup = -1, .user = "daemon"}, line, &err);

		snprintf(expected, sizeof(expected), "uid=%d gid=%d groups=", (int)daemon->pw_uid,
		         (int)daemon->pw_gid);
		CHECK(child.pid > 0 && strstr(line, expected));
	}
}

/* As in a unit with User= and AmbientCapabilities=. */
static bool become_ambient(uid_t uid, const int *capabilities, size_t n)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	bool ok = prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setresuid(uid, uid, uid) == 0;

	for (size_t i = 0; i < n; i++)
		data[0].permitted |= 1u << capabilities[i];
	data[0].effective = data[0].inheritable = data[0].permitted;
	ok = ok && syscall(SYS_capset, &header, data) == 0;
	for (size_t i = 0; i < n; i++)
		ok = ok && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capabilities[i], 0, 0) == 0;
	return ok;
}

/* An unprivileged supervisor that starts one process as its own user, and one as another. */
static void start_as_unprivileged(int unused)
{
	static const int capabilities[] = {CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_CHOWN};
	const struct spawn_request requests[] = {
	        {.cgroup = -1}, {.cgroup = -1, .user = "1234567", .group = "7654321"}};
	char line[8192];
	struct error err;
	size_t at = 0;

	if (!become_ambient(7654321, capabilities, ARRAY_SIZE(capabilities)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		_cleanup_child_ struct child child = start_telling(requests[i], line, &err);

		if (child.pid <= 0)
			return;
		at += (size_t)snprintf(shared->text + at, sizeof(shared->text) - at, "%.1000s",
		                       line);
	}
}

/* Ambient capabilities of the supervisor are not passed on to a process of another user. */
static void ambient_capabilities(void)
{
	const char *other;

	CHECK(waitpid(children_fork(start_as_unprivileged, -1), NULL, 0) > 0);
	other = strchr(shared->text, '\n');
	CHECK(other && strstr(other, "uid=1234567 gid=7654321") && strstr(other, " ambient=0 "));
	CHECK(strstr(shared->text, "uid=7654321 ") && strstr(shared->text, " ambient=4 "));
}

static void born_in_its_cgroup(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_child_ struct child child = {0};
	_cleanup_free_ uint32_t *pids = NULL;
	char line[8192];
	struct error err;
	size_t n;

	CHECK(s.fd >= 0);
	child = start_telling((struct spawn_request){.cgroup = s.fd}, line, &err);
	CHECK(child.pid > 0 && cgroup_list_processes(s.fd, &pids, &n) == 0);
	CHECK(n == 1 && pids[0] == (uint32_t)child.pid);
}

/* In the second folder of PATH, after one with a file of this name that is not executable. */
static void found_in_path(void)
{
	char self[PATH_MAX], path[PATH_MAX + 64], first[96], second[96];
	char *const argv[] = {"spawned", "tell", NULL}, *const env[] = {path, NULL};
	const ssize_t length = readlink(SELF, self, sizeof(self) - 1);
	_cleanup_child_ struct child child = {0};
	const char *folder = folder_path();
	char line[8192] = "";
	struct error err;

	CHECK(length > 0);
	self[length] = '\0';
	snprintf(first, sizeof(first), "%s/1", folder);
	CHECK(mkdir(first, 0755) == 0);
	snprintf(first, sizeof(first), "%s/1/spawned", folder);
	CHECK(close(open(first, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) == 0);
	snprintf(second, sizeof(second), "%s/spawned", folder);
	CHECK(symlink(self, second) == 0);
	snprintf(path, sizeof(path), "PATH=%s/none:%s/1::%s:/", folder, folder, folder);
	child = start_telling((struct spawn_request){.cgroup = -1, .argv = argv, .env = env}, line,
	                      &err);
	CHECK(child.pid > 0 && strstr(line, "uid=0"));
}

static void failures(void)
{
	static const struct spawn_fd high = {0, INT_MAX - 1}, closed = {9999, 3};
	static const struct {
		const char *name;
		struct spawn_request request;
		int code;
		const char *expected[2];
	} kinds[] = {
	        {"nod", {0}, -ENOENT, {"'nod'", "no such program in PATH (/bin:/none)"}},
	        {"/no/such", {0}, -ENOENT, {"'/no/such'", "no such file"}},
	        {"/proc/version", {0}, -EACCES, {"'/proc/version'", "chmod +x"}},
	        {"/", {0}, -EACCES, {"'/'", "isn't executable"}},
	        {SELF, {.cwd = "/no/dir"}, -ENOENT, {"can't change to directory", "'/no/dir'"}},
	        {SELF, {.user = "no-such-user"}, -EINVAL, {"there is no user", "'no-such-user'"}},
	        {SELF, {.group = "no-such-group"}, -EINVAL, {"there is no group", "no-such-"}},
	        {SELF, {.user = "1234567"}, -EINVAL, {"1234567", "--group"}},
	        {SELF, {.user = "-1"}, -EINVAL, {"there is no user", "'-1'"}},
	        {SELF, {.fds = &high, .n_fds = 1}, -EINVAL, {"descriptors", "LimitNOFILE"}},
	        {SELF, {.fds = &closed, .n_fds = 1}, -EBADF, {"Bad", ""}},
	};
	char *env[] = {"PATH=/bin:/none", NULL};
	const size_t before = socket_bed_count_descriptors();

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct spawn_request request = kinds[i].request;
		char *argv[] = {(char *)kinds[i].name, "stop", NULL};
		struct error err = {0};
		int pidfd = -7;

		request.argv = argv;
		request.env = env;
		request.cgroup = -1;
		CHECK(spawn_start(&request, &pidfd, &err) == kinds[i].code && pidfd == -7);
		CHECK(strstr(err.text, kinds[i].expected[0]));
		CHECK(strstr(err.text, kinds[i].expected[1]));
		CHECK(err.status == (kinds[i].code == -EINVAL && kinds[i].request.n_fds == 0
		                             ? EXIT_USAGE
		                             : EXIT_REFUSED));
		/* An error that spawn_check_program() can find has the same text. */
		if (strcmp(kinds[i].name, SELF) != 0) {
			struct error before_it = {0};

			CHECK(spawn_check_program(kinds[i].name, "/bin:/none", NULL, &before_it) ==
			      kinds[i].code);
			CHECK(!strcmp(before_it.text, err.text));
		}
	}
	/* Neither a process is left, nor a descriptor. */
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	CHECK(socket_bed_count_descriptors() == before);
}

/* A script with a missing interpreter, and one that names none. */
static void scripts_without_interpreter(void)
{
	static const struct {
		const char *text, *expected;
		int code;
	} kinds[] = {
	        {"#!/no/such/interpreter\n", "interpreter", -ENOENT},
	        {"echo hello\n", "#!/bin/sh", -ENOEXEC},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char file[64];
		char *argv[] = {file, NULL}, *env[] = {NULL};
		struct spawn_request request = {.argv = argv, .env = env, .cgroup = -1};
		struct error err = {0};
		int fd, pidfd, r;

		snprintf(file, sizeof(file), "%s/script%zu", folder_path(), i);
		fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
		CHECK(write(fd, kinds[i].text, strlen(kinds[i].text)) > 0 && close(fd) == 0);
		r = spawn_start(&request, &pidfd, &err);
		CHECK(r == kinds[i].code && strstr(err.text, kinds[i].expected));
	}
}

static void removed_cgroup(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int gone = cgroup_bed_worker(&s, "0-1");
	char *argv[] = {SELF, "stop", NULL}, *env[] = {NULL};
	struct spawn_request request = {.argv = argv, .env = env, .cgroup = gone};
	struct error err = {0};
	int pidfd;

	CHECK(gone >= 0 && cgroup_remove(s.path, "0-1") == 0);
	CHECK(spawn_start(&request, &pidfd, &err) < 0 && strstr(err.text, "was removed"));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(state_of_a_new_process),
	        CHECK_CASE(passed_descriptors),
	        CHECK_CASE(standard_descriptors),
	        CHECK_CASE(environment),
	        CHECK_CASE(working_directory),
	        CHECK_CASE(user_and_group),
	        CHECK_CASE(ambient_capabilities),
	        CHECK_CASE(born_in_its_cgroup),
	        CHECK_CASE(found_in_path),
	        CHECK_CASE(failures),
	        CHECK_CASE(scripts_without_interpreter),
	        CHECK_CASE(removed_cgroup),
	};

	if (argc > 1 && !strcmp(argv[1], "tell"))
		return tell(STDOUT_FILENO);
	if (argc > 1 && !strcmp(argv[1], "stop"))
		return raise(SIGSTOP);
	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
