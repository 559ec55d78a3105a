/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern/probe and kern/checkup against hosts that lack something. Each case runs in a child of its
 * own, which makes itself such a host: it drops capabilities, lets a seccomp filter answer for the
 * kernel, or unmounts file systems in a mount namespace of its own.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "core/doctor_checks.h"
#include "kern/doctor_host.h"
#include "kern/features.h"
#include "kern/mounts.h"
#include "kern/sysctl.h"

#define CAP(name) (UINT64_C(1) << CAP_##name)
#define ANY       -1

/* A case returns NULL, or why it failed. */
static char why[sizeof(struct error) + 256];

#define EXPECT(condition, ...)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			snprintf(why, sizeof(why), __VA_ARGS__);                                   \
			return why;                                                                \
		}                                                                                  \
	} while (0)

/* A folder to mount things at, with a blank in its path. */
static char scratch[] = "/tmp/check probe XXXXXX";

struct test_case {
	const char *name;
	const char *(*run)(const struct test_case *test);
	/* The host to be: without these capabilities, or with only those ... */
	uint64_t without;
	uint64_t only;
	/* ... or where this system call, with this argument, fails with this error. */
	int syscall;
	int arg;
	int value;
	int error;
	/* What features_require() says of it, and must not say. */
	int code;
	const char *named;
	const char *unnamed;
};

static int keep_capabilities(uint64_t without, uint64_t only)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
	uint64_t keep = only ? only : ~without;

	if (syscall(SYS_capget, &header, words) < 0)
		return -1;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		words[i].effective &= (uint32_t)(keep >> 32 * i);
		words[i].permitted = words[i].effective;
		words[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, words);
}

/* Lets a system call fail, if its argument number @arg (or ANY) is @value. */
static int deny(int number, int arg, int value, int error)
{
	size_t field = arg == ANY ? offsetof(struct seccomp_data, nr)
	                          : offsetof(struct seccomp_data, args) + 8 * arg;
	struct sock_filter filter[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arg == ANY ? number : value, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Enters a mount namespace of our own without bpffs and cgroup2. */
static int hide_mounts(void)
{
	char path[PATH_MAX];

	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	while (mounts_find_bpffs(path, sizeof(path)) == 0 ||
	       mounts_find_cgroup2(path, sizeof(path)) == 0)
		if (umount2(path, MNT_DETACH) < 0)
			return -1;
	return 0;
}

static const struct check *find_check(const struct doctor_checks *checks, const char *name)
{
	for (size_t i = 0; i < checks->n; i++)
		if (strcmp(checks->rows[i].name, name) == 0)
			return &checks->rows[i];
	return NULL;
}

static const char *all_there(const struct test_case *test)
{
	struct error err;

	for (enum feature_id p = 0; p < FEATURE_MAX; p++) {
		const struct feature *f = features_describe(p);
		int r = f->required ? features_probe(p) : 1;

		EXPECT(r == 1, "%s: %d", f->name, r);
	}
	EXPECT(features_require(&err) == 0, "%s", err.text);
	return NULL;
}

static const char *doctor_is_content(const struct test_case *test)
{
	struct doctor_checks checks = {};

	EXPECT(doctor_host_check(&checks) == 0, "out of memory");
	for (enum feature_id p = 0; p < FEATURE_MAX; p++)
		EXPECT(find_check(&checks, features_describe(p)->name), "no row for %s",
		       features_describe(p)->name);
	for (size_t i = 0; i < checks.n; i++)
		EXPECT(checks.rows[i].verdict < CHECK_FAIL, "%s: %s: %s", checks.rows[i].name,
		       doctor_checks_verdict_name(checks.rows[i].verdict), checks.rows[i].detail);
	EXPECT(doctor_checks_worst(&checks) < CHECK_FAIL, "worst is wrong");
	doctor_checks_free(&checks);
	return NULL;
}

/* With bpffs mounted, so that mounting it is none of the privileges that are needed. */
static const char *capabilities(const struct test_case *test)
{
	struct error err = {};
	int r;

	EXPECT(hide_mounts() == 0 && mount("bpf", scratch, "bpf", 0, NULL) == 0 &&
	               keep_capabilities(test->without, test->only) == 0,
	       "set-up: %s", strerror(errno));
	r = features_require(&err);
	EXPECT(r == test->code, "got %d: %s", r, err.text);
	if (test->code == 0)
		return NULL;
	EXPECT(strstr(err.text, test->named), "does not name %s: %s", test->named, err.text);
	EXPECT(strstr(err.text, "needs root, or the capabilities CAP_BPF"), "%s", err.text);
	return NULL;
}

static const char *mounting_needs_sys_admin(const struct test_case *test)
{
	struct error err = {};
	int r;

	EXPECT(hide_mounts() == 0 && keep_capabilities(CAP(SYS_ADMIN), 0) == 0, "set-up: %s",
	       strerror(errno));
	r = features_require(&err);
	EXPECT(r == -EPERM && strstr(err.text, "missing: CAP_SYS_ADMIN (to mount bpffs)"),
	       "got %d: %s", r, err.text);
	return NULL;
}

static const char *user_namespace(const struct test_case *test)
{
	struct error err = {};
	int r;

	EXPECT(unshare(CLONE_NEWUSER) == 0, "set-up: %s", strerror(errno));
	r = features_require(&err);
	EXPECT(r == -EPERM && strstr(err.text, "so a user namespace"), "got %d: %s", r, err.text);
	return NULL;
}

static const char *denied(const struct test_case *test)
{
	struct error err = {};
	int r;

	EXPECT(deny(test->syscall, test->arg, test->value, test->error) == 0, "set-up: %s",
	       strerror(errno));
	r = features_require(&err);
	EXPECT(r == test->code, "got %d: %s", r, err.text);
	EXPECT(strstr(err.text, test->named), "does not name %s: %s", test->named, err.text);
	EXPECT(!strstr(err.text, test->unnamed), "names %s: %s", test->unnamed, err.text);
	if (test->code == -EOPNOTSUPP)
		EXPECT(strstr(err.text, "reuseportd needs Linux 5.14 or later"), "%s", err.text);
	return NULL;
}

static const char *doctor_names_it(const struct test_case *test)
{
	const struct check *check;
	struct doctor_checks checks = {};

	EXPECT(deny(test->syscall, test->arg, test->value, test->error) == 0, "set-up: %s",
	       strerror(errno));
	EXPECT(doctor_host_check(&checks) == 0, "out of memory");
	check = find_check(&checks, test->named);
	EXPECT(check && check->verdict == CHECK_FAIL && check->advice[0], "no failed row for %s",
	       test->named);
	EXPECT(doctor_checks_worst(&checks) == CHECK_FAIL, "worst is wrong");
	doctor_checks_free(&checks);
	return NULL;
}

/* The same for both file systems that are looked for. */
static const char *mount_is_found(const char *type, const char *usual,
                                  int (*probe)(char *ret_path, size_t n))
{
	char path[PATH_MAX] = "untouched";
	int r;

	EXPECT(hide_mounts() == 0, "set-up: %s", strerror(errno));
	r = probe(path, sizeof(path));
	EXPECT(r == MOUNTS_NONE && !strcmp(path, "untouched"), "not mounted: got %d, %s", r, path);

	EXPECT(mount("none", scratch, type, 0, NULL) == 0, "set-up: %s", strerror(errno));
	r = probe(path, strlen(scratch));
	EXPECT(r == -ENAMETOOLONG && !strcmp(path, "untouched"), "no room: got %d, %s", r, path);
	r = probe(path, sizeof(path));
	EXPECT(r == 0 && !strcmp(path, scratch), "path with blanks: got %d, %s", r, path);

	EXPECT(mount("none", usual, type, 0, NULL) == 0, "set-up: %s", strerror(errno));
	r = probe(path, sizeof(path));
	EXPECT(r == 0 && !strcmp(path, usual), "two of them: got %d, %s", r, path);

	EXPECT(mount("none", usual, "tmpfs", 0, NULL) == 0, "set-up: %s", strerror(errno));
	r = probe(path, sizeof(path));
	EXPECT(r == 0 && !strcmp(path, scratch), "hidden by a mount: got %d, %s", r, path);
	return NULL;
}

static const char *bpffs(const struct test_case *test)
{
	return mount_is_found("bpf", "/sys/fs/bpf", mounts_find_bpffs);
}

static const char *cgroup2(const struct test_case *test)
{
	return mount_is_found("cgroup2", "/sys/fs/cgroup", mounts_find_cgroup2);
}

static const char *sysctls(const struct test_case *test)
{
	int value = -7;

	EXPECT(sysctl_read_int("net/ipv4/no_such", &value) == -ENOENT && value == -7, "no such");
	EXPECT(sysctl_read_int("kernel/ostype", &value) == -EINVAL && value == -7, "no number");
	for (int want = 0; want < 2; want++) {
		_cleanup_file_ FILE *file = NULL;

		EXPECT(unshare(CLONE_NEWNET) == 0 &&
		               (file = fopen("/proc/sys/net/ipv4/tcp_migrate_req", "we")) &&
		               fprintf(file, "%d", want) > 0 && fflush(file) == 0,
		       "set-up: %s", strerror(errno));
		EXPECT(sysctl_read_int("net/ipv4/tcp_migrate_req", &value) == 0 && value == want,
		       "got %d, want %d", value, want);
	}
	return NULL;
}

static const struct test_case cases[] = {
        {"everything_is_there", all_there},
        {"doctor_is_content", doctor_is_content},

        {"needed_capabilities_suffice", capabilities,
         .only = CAP(BPF) | CAP(PERFMON) | CAP(SYS_PTRACE) | CAP(DAC_READ_SEARCH)},
        {"sys_admin_stands_for_bpf", capabilities,
         .only = CAP(SYS_ADMIN) | CAP(SYS_PTRACE) | CAP(DAC_OVERRIDE)},
        {"without_bpf", capabilities, .without = CAP(BPF) | CAP(SYS_ADMIN), .code = -EPERM,
         .named = "missing: CAP_BPF"},
        {"without_perfmon", capabilities, .without = CAP(PERFMON) | CAP(SYS_ADMIN), .code = -EPERM,
         .named = "missing: CAP_PERFMON"},
        {"without_sys_ptrace", capabilities, .without = CAP(SYS_PTRACE), .code = -EPERM,
         .named = "missing: CAP_SYS_PTRACE"},
        {"without_dac_read_search", capabilities,
         .without = CAP(DAC_READ_SEARCH) | CAP(DAC_OVERRIDE), .code = -EPERM,
         .named = "missing: CAP_DAC_READ_SEARCH"},
        {"without_any", capabilities, .without = ~UINT64_C(0), .code = -EPERM,
         .named = "missing: CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH"},
        {"mounting_needs_sys_admin", mounting_needs_sys_admin},
        {"user_namespace", user_namespace},

        {"bpf_forbidden", denied, .syscall = SYS_bpf, .arg = ANY, .error = EPERM, .code = -EPERM,
         .named = "bpf() system call (Linux 3.18), for all of steering: Operation not permitted",
         .unnamed = "sk_reuseport"},
        {"no_bpf", denied, .syscall = SYS_bpf, .arg = ANY, .error = ENOSYS, .code = -EOPNOTSUPP,
         .named = "bpf() system call (Linux 3.18)", .unnamed = "sk_reuseport"},
        {"no_programs", denied, .syscall = SYS_bpf, .arg = 0, .value = BPF_PROG_LOAD,
         .error = EINVAL, .code = -EOPNOTSUPP, .named = "connection migration (Linux 5.14)",
         .unnamed = "socket array"},
        {"no_pidfd", denied, .syscall = SYS_pidfd_open, .arg = ANY, .error = ENOSYS,
         .code = -EOPNOTSUPP, .named = "pidfd_getfd() (Linux 5.6)", .unnamed = "bpf()"},
        {"no_pidfd_getfd", denied, .syscall = SYS_pidfd_getfd, .arg = ANY, .error = ENOSYS,
         .code = -EOPNOTSUPP, .named = "pidfd_getfd() (Linux 5.6)", .unnamed = "bpf()"},
        {"pidfd_getfd_forbidden", denied, .syscall = SYS_pidfd_getfd, .arg = ANY, .error = EPERM,
         .code = -EPERM, .named = "pidfd_getfd() (Linux 5.6)", .unnamed = "bpf()"},
        {"no_netns_cookie", denied, .syscall = SYS_getsockopt, .arg = 2, .value = SO_NETNS_COOKIE,
         .error = ENOPROTOOPT, .code = -EOPNOTSUPP, .named = "SO_NETNS_COOKIE (Linux 5.14)",
         .unnamed = "bpf()"},
        {"doctor_names_pidfd_getfd", doctor_names_it, .syscall = SYS_pidfd_getfd, .arg = ANY,
         .error = ENOSYS, .named = "pidfd_getfd()"},

        {"bpffs", bpffs},
        {"cgroup2", cgroup2},
        {"sysctls", sysctls},
};

static bool passes(const struct test_case *test)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		const char *failure = test->run(test);

		if (failure)
			printf("FAILED %s: %s\n", test->name, failure);
		else
			printf("ok %s\n", test->name);
		fflush(stdout);
		_exit(failure ? 1 : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	if (WIFSIGNALED(status))
		printf("FAILED %s: signal %d\n", test->name, WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
	size_t passed = 0;

	if (!mkdtemp(scratch)) {
		perror(scratch);
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		passed += passes(&cases[i]);
	rmdir(scratch);
	printf("%zu passed, %zu failed\n", passed, ARRAY_SIZE(cases) - passed);
	return passed < ARRAY_SIZE(cases);
}
