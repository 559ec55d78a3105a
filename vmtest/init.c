/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process 1 of a test guest: sets up the system that the tests expect, runs the plan, and reports.
 * In a guest where systemd is process 1 and has set up the system, a unit runs this program.
 *
 * The plan is a file of lines with words that are separated by tabs:
 *   module PATH                        load a kernel module
 *   env NAME=VALUE                     set a variable for all following tests; "env NAME" unsets it
 *   test NAME SECONDS PROGRAM ARG...   run a test, and kill it after SECONDS
 *   shell PROGRAM ARG...               run a program on the console, without a time limit
 *
 * The report goes to a second serial port, which is a file on the host:
 *   begin NAME SECONDS
 *   | TEXT                             a line of the test's output
 *   left TEXT                          something that the test left behind
 *   end NAME exit|signal NUMBER MS     or: end NAME timeout SECONDS MS
 *   tainted MASK                       the kernel's taint flags after all tests
 *   done
 * A report without its last line is incomplete: the guest has crashed or was stopped.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>

#define PLAN     "/vmtest/plan"
#define REPORT   "/dev/ttyS1"
#define LINE_MAX 1024
#define WORD_MAX 1024
#define LEFT_MAX 64 /* BPF objects of a kind that are listed */

/* How long a test's BPF objects may remain: the kernel frees them after grace periods. */
#define LEFT_SECONDS 20

static FILE *report_file;

__attribute__((format(printf, 1, 2))) static void init_report(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(report_file, format, args);
	va_end(args);
	fputc('\n', report_file);
	fflush(report_file);
}

/* Logs a line to the console. */
__attribute__((format(printf, 1, 2))) static void init_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("vmtest: ", stdout);
	vprintf(format, args);
	va_end(args);
	fputc('\n', stdout);
	fflush(stdout);
}

static int64_t init_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void init_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		init_log("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void init_mount(const char *type, const char *path, const char *options)
{
	mkdir(path, 0755);
	if (mount(type, path, type, 0, options) < 0)
		init_log("mounting %s at %s: %s", type, path, strerror(errno));
}

static void init_make_system(void)
{
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	struct rlimit files = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
	int fd;

	init_mount("proc", "/proc", NULL);
	init_mount("sysfs", "/sys", NULL);
	init_mount("tmpfs", "/tmp", "mode=1777");
	init_mount("tmpfs", "/run", "mode=0755");
	init_mount("cgroup2", "/sys/fs/cgroup", NULL);
	init_mount("bpf", "/sys/fs/bpf", "mode=0700");
	/* unshare(1) and ip-netns(8) change how mounts propagate. */
	mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &loopback) < 0)
		init_log("lo: %s", strerror(errno));
	close(fd);
	sethostname("vmtest", 6);
	setrlimit(RLIMIT_NOFILE, &files);
	init_write_file("/proc/sys/kernel/core_pattern", "");
}

static void init_set_environment(void)
{
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/tmp", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
}

static void init_open_report(void)
{
	struct termios raw;
	int fd = open(REPORT, O_RDWR | O_NOCTTY | O_CLOEXEC);

	report_file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!report_file) {
		init_log("%s: %s", REPORT, strerror(errno));
		report_file = stdout;
		return;
	}
	if (tcgetattr(fd, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(fd, TCSANOW, &raw);
	}
}

static void init_load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		init_report("left module %s is not loaded: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* ---- BPF objects ---- */

struct bpf_ids {
	uint32_t ids[LEFT_MAX];
	size_t n;
};

struct kind {
	const char *name;
	enum bpf_cmd next, open;
	struct bpf_ids first; /* objects from before the tests: the kernel's own */
};

static struct kind kinds[] = {
        {.name = "program", .next = BPF_PROG_GET_NEXT_ID, .open = BPF_PROG_GET_FD_BY_ID},
        {.name = "map", .next = BPF_MAP_GET_NEXT_ID, .open = BPF_MAP_GET_FD_BY_ID},
        {.name = "link", .next = BPF_LINK_GET_NEXT_ID, .open = BPF_LINK_GET_FD_BY_ID},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct bpf_ids init_list_bpf(const struct kind *kind)
{
	union bpf_attr attr = {};
	struct bpf_ids found = {};

	while (found.n < LEFT_MAX && syscall(SYS_bpf, kind->next, &attr, sizeof(attr)) == 0) {
		found.ids[found.n++] = attr.next_id;
		attr.start_id = attr.next_id;
	}
	return found;
}

static bool init_has_id(const struct bpf_ids *all, uint32_t id)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->ids[i] == id)
			return true;
	return false;
}

/* Writes the name of a program or a map, or of a link's program. */
static void init_name_bpf(const struct kind *kind, uint32_t id, char name[BPF_OBJ_NAME_LEN])
{
	union bpf_attr attr = {.prog_id = id}; /* map_id and link_id are at the same offset */
	struct bpf_prog_info program = {};
	struct bpf_map_info map = {};
	struct bpf_link_info link = {};
	int fd = (int)syscall(SYS_bpf, kind->open, &attr, sizeof(attr));

	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	if (kind->next == BPF_PROG_GET_NEXT_ID) {
		attr.info.info_len = sizeof(program);
		attr.info.info = (uintptr_t)&program;
	} else if (kind->next == BPF_MAP_GET_NEXT_ID) {
		attr.info.info_len = sizeof(map);
		attr.info.info = (uintptr_t)&map;
	} else {
		attr.info.info_len = sizeof(link);
		attr.info.info = (uintptr_t)&link;
	}
	syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr));
	if (fd >= 0)
		close(fd);
	if (kind->next == BPF_LINK_GET_NEXT_ID && link.prog_id)
		init_name_bpf(&kinds[0], link.prog_id, name);
	else
		memcpy(name, kind->next == BPF_PROG_GET_NEXT_ID ? program.name : map.name,
		       BPF_OBJ_NAME_LEN);
}

/* systemd makes some for units, and those of RestrictFileSystems= again after a soft reboot. */
static bool init_is_of_systemd(const char *name)
{
	static const char *const begins[] = {"sd_", "restrict_filesy", "cgroup_hash"};

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (strncmp(name, begins[i], strlen(begins[i])) == 0)
			return true;
	return false;
}

/* Objects that did not exist before the tests, and that systemd has not made. */
static struct bpf_ids init_list_new_bpf(const struct kind *kind)
{
	struct bpf_ids now = init_list_bpf(kind), news = {};
	char name[BPF_OBJ_NAME_LEN];

	for (size_t i = 0; i < now.n; i++) {
		if (init_has_id(&kind->first, now.ids[i]))
			continue;
		init_name_bpf(kind, now.ids[i], name);
		if (!init_is_of_systemd(name))
			news.ids[news.n++] = now.ids[i];
	}
	return news;
}

/* Reports the BPF objects that remain after all processes have ended, each of them once. */
static void init_report_left_bpf(void)
{
	int64_t end = init_now_ms() + LEFT_SECONDS * 1000;
	bool any;

	do {
		any = false;
		for (size_t i = 0; i < N_KINDS; i++)
			any |= init_list_new_bpf(&kinds[i]).n > 0;
		if (!any)
			return;
		poll(NULL, 0, 20);
	} while (init_now_ms() < end);
	for (size_t i = 0; i < N_KINDS; i++) {
		struct bpf_ids left = init_list_new_bpf(&kinds[i]);

		for (size_t j = 0; j < left.n; j++) {
			char name[BPF_OBJ_NAME_LEN];

			init_name_bpf(&kinds[i], left.ids[j], name);
			init_report("left BPF %s %u %s", kinds[i].name, left.ids[j], name);
		}
		kinds[i].first = init_list_bpf(&kinds[i]);
	}
}

/* ---- Tests ---- */

static void init_exec_test(char **argv, int output)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execv(argv[0], argv);
	dprintf(output, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* Kills all other processes, unless systemd is one of them. */
static void init_kill_all(void)
{
	if (getpid() == 1)
		kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

struct lines {
	char text[LINE_MAX];
	size_t n;
};

static void init_flush_lines(struct lines *lines)
{
	if (lines->n > 0)
		init_report("| %.*s", (int)lines->n, lines->text);
	lines->n = 0;
}

static void init_add_lines(struct lines *lines, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (data[i] == '\n' && lines->n == 0)
			init_report("|");
		else if (data[i] == '\n')
			init_flush_lines(lines);
		else
			lines->text[lines->n++] = data[i];
		if (lines->n == sizeof(lines->text))
			init_flush_lines(lines);
	}
}

/* Passes on the available output. Returns false at its end. */
static bool init_pass_on_output(int fd, struct lines *lines)
{
	char data[4096];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		init_add_lines(lines, data, (size_t)n);
	return n < 0 && errno == EAGAIN;
}

/* Reaps ended processes. Returns true and the exit status if @pid has ended. */
static bool init_reap(pid_t pid, int *ret_status)
{
	int status;
	pid_t reaped;

	while ((reaped = waitpid(-1, &status, WNOHANG)) > 0) {
		if (reaped == pid) {
			*ret_status = status;
			return true;
		}
	}
	return false;
}

static void init_run_test(const char *name, int seconds, char **argv)
{
	const int64_t begin = init_now_ms(), end = begin + (int64_t)seconds * 1000;
	struct lines lines = {};
	int output[2], status = 0;
	bool ended = false, open = true;
	pid_t pid;

	init_log("%s", name);
	init_report("begin %s %d", name, seconds);
	if (pipe2(output, O_CLOEXEC) < 0) {
		init_report("end %s exit 126 0", name);
		return;
	}
	pid = fork();
	if (pid == 0)
		init_exec_test(argv, output[1]);
	close(output[1]);
	fcntl(output[0], F_SETFL, O_NONBLOCK);
	while (!ended && init_now_ms() < end) {
		struct pollfd ready = {.fd = open ? output[0] : -1, .events = POLLIN};

		poll(&ready, 1, 20);
		open = open && init_pass_on_output(output[0], &lines);
		ended = init_reap(pid, &status);
	}
	init_kill_all();
	init_pass_on_output(output[0], &lines);
	close(output[0]);
	init_flush_lines(&lines);
	init_report_left_bpf();
	if (!ended)
		init_report("end %s timeout %d %lld", name, seconds,
		            (long long)(init_now_ms() - begin));
	else if (WIFSIGNALED(status))
		init_report("end %s signal %d %lld", name, WTERMSIG(status),
		            (long long)(init_now_ms() - begin));
	else
		init_report("end %s exit %d %lld", name, WEXITSTATUS(status),
		            (long long)(init_now_ms() - begin));
}

static void init_run_shell(char **argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		ioctl(STDIN_FILENO, TIOCSCTTY, 1);
		execv(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	while (waitpid(-1, NULL, 0) != pid)
		;
	init_kill_all();
}

static void init_run_line(char *line)
{
	char *words[WORD_MAX + 1] = {};
	size_t n = 0;

	for (char *word; n < WORD_MAX && (word = strsep(&line, "\t\n"));)
		if (*word)
			words[n++] = word;
	if (n == 0)
		return;
	if (strcmp(words[0], "module") == 0 && n == 2)
		init_load_module(words[1]);
	else if (strcmp(words[0], "env") == 0 && n == 2)
		putenv(strdup(words[1]));
	else if (strcmp(words[0], "test") == 0 && n > 3)
		init_run_test(words[1], atoi(words[2]), words + 3);
	else if (strcmp(words[0], "shell") == 0 && n > 1)
		init_run_shell(words + 1);
	else
		init_report("left plan: unknown line: %s", words[0]);
}

static void init_report_taint(void)
{
	char mask[32] = "";
	int fd = open("/proc/sys/kernel/tainted", O_RDONLY | O_CLOEXEC);

	if (read(fd, mask, sizeof(mask) - 1) < 0)
		init_log("tainted: %s", strerror(errno));
	close(fd);
	init_report("tainted %.*s", (int)strcspn(mask, "\n"), mask);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	FILE *plan;

	if (getpid() == 1) {
		init_mount("devtmpfs", "/dev", NULL);
		init_mount("devpts", "/dev/pts", "ptmxmode=0666");
		init_make_system();
	}
	init_set_environment();
	init_open_report();
	for (size_t i = 0; i < N_KINDS; i++)
		kinds[i].first = init_list_bpf(&kinds[i]);
	plan = fopen(PLAN, "re");
	if (plan) {
		while (getline(&line, &size, plan) > 0)
			init_run_line(line);
		init_report_taint();
		init_report("done");
	} else {
		init_log("%s: %s", PLAN, strerror(errno));
	}
	tcdrain(fileno(report_file));
	sync();
	/* QEMU ends after either call; some machines can't power off. */
	reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT);
	return 1;
}
