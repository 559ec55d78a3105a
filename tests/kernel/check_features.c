/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/features and kern/doctor_host on hosts that lack something. Each case runs in a process of
 * its own, which makes itself such a host: it drops capabilities, lets a seccomp filter answer for
 * the kernel, or unmounts file systems in a mount namespace of its own. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <bpf/btf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "check/check.h"
#include "kern/doctor_host.h"
#include "kern/features.h"
#include "kern/mounts.h"
#include "kern/steer_queues.h"
#include "kern/sysctl.h"

#define CAP(name) (UINT64_C(1) << CAP_##name)
#define ANY       -1

/* A folder to mount file systems at, with a blank in its path. */
#define FOLDER "/tmp/a folder"

/* What a host lacks: these capabilities, or all but those ... */
struct host {
	uint64_t without;
	uint64_t only;
	/* ... or where this system call, with this argument, fails with this error. */
	int syscall;
	int arg;
	int value;
	int error;
	/* What features_require() returns, what its message names, and what it must not name. */
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

/* Enters a mount namespace without bpffs and cgroup2, and with FOLDER. */
static int hide_mounts(void)
{
	char path[PATH_MAX];

	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	while (mounts_find_bpffs(path, sizeof(path)) == 0 ||
	       mounts_find_cgroup2(path, sizeof(path)) == 0)
		if (umount2(path, MNT_DETACH) < 0)
			return -1;
	return mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0 ? mkdir(FOLDER, 0755) : -1;
}

static const struct check *find_check(const struct doctor_checks *checks, const char *name)
{
	for (size_t i = 0; i < checks->n; i++)
		if (strcmp(checks->rows[i].name, name) == 0)
			return &checks->rows[i];
	return NULL;
}

static void all_features_are_there(void)
{
	struct error err;

	for (enum feature_id p = 0; p < FEATURE_MAX; p++) {
		const struct feature *f = features_describe(p);
		int r = f->required ? features_probe(p) : 1;

		CHECK_MSG(r == 1, "%s: %d", f->name, r);
	}
	CHECK_MSG(features_require(&err) == 0, "%s", err.text);
}

static void doctor_passes_all(void)
{
	struct doctor_checks checks = {};

	CHECK_MSG(doctor_host_check(&checks) == 0, "out of memory");
	for (enum feature_id p = 0; p < FEATURE_MAX; p++)
		CHECK_MSG(find_check(&checks, features_describe(p)->name), "no row for %s",
		          features_describe(p)->name);
	for (size_t i = 0; i < checks.n; i++)
		CHECK_MSG(checks.rows[i].verdict < CHECK_FAIL, "%s: %s: %s", checks.rows[i].name,
		          doctor_checks_verdict_name(checks.rows[i].verdict),
		          checks.rows[i].detail);
	CHECK_MSG(doctor_checks_worst(&checks) < CHECK_FAIL, "worst is wrong");
	doctor_checks_free(&checks);
}

/* bpffs is mounted, so that no privilege to mount it is needed. */
static void capabilities(const void *data)
{
	const struct host *host = data;
	struct error err = {};
	int r;

	CHECK_MSG(hide_mounts() == 0 && mount("bpf", FOLDER, "bpf", 0, NULL) == 0 &&
	                  keep_capabilities(host->without, host->only) == 0,
	          "set-up: %s", strerror(errno));
	r = features_require(&err);
	CHECK_MSG(r == host->code, "got %d: %s", r, err.text);
	if (host->code == 0)
		return;
	CHECK_MSG(strstr(err.text, host->named), "does not name %s: %s", host->named, err.text);
	CHECK_MSG(strstr(err.text, "needs root, or the capabilities CAP_BPF"), "%s", err.text);
}

/* As with lockdown in mode "confidentiality", which can't be left again: the helper is not there.
 */
static void reading_the_kernel_is_forbidden(void)
{
	struct rpd_members_at at = {.selected_sk.offset = 1};

	CHECK_EQ(features_probe(FEATURE_READ_KERNEL), 1);
	CHECK_MSG(keep_capabilities(CAP(PERFMON) | CAP(SYS_ADMIN), 0) == 0, "set-up: %s",
	          strerror(errno));
	CHECK_EQ(features_probe(FEATURE_READ_KERNEL), 0);
	CHECK(!steer_queues_find_members(&at));
	CHECK_EQ(at.selected_sk.offset, 0);
}

/* The steering program reads a member by one instruction where the kernel has the function for it.
 */
static void members_are_cast(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const bool has_cast = btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	struct rpd_members_at at;

	CHECK(steer_queues_find_members(&at));
	CHECK_EQ(at.selected_sk.type != 0, has_cast);
	CHECK_EQ(at.snt_isn.type != 0, has_cast);
	btf__free(btf);
}

/* For a moment the process has no free descriptor: the next steering program can see the queues. */
static void btf_is_read_again(void)
{
	struct rpd_members_at at;
	struct rlimit limit, none;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	CHECK(!steer_queues_find_members(&at));
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK(steer_queues_find_members(&at));
}

static void mounting_needs_sys_admin(void)
{
	struct error err = {};
	int r;

	CHECK_MSG(hide_mounts() == 0 && keep_capabilities(CAP(SYS_ADMIN), 0) == 0, "set-up: %s",
	          strerror(errno));
	r = features_require(&err);
	CHECK_MSG(r == -EPERM && strstr(err.text, "missing: CAP_SYS_ADMIN (to mount bpffs)"),
	          "got %d: %s", r, err.text);
}

static void user_namespace(void)
{
	struct error err = {};
	int r;

	CHECK_MSG(unshare(CLONE_NEWUSER) == 0, "set-up: %s", strerror(errno));
	r = features_require(&err);
	CHECK_MSG(r == -EPERM && strstr(err.text, "so a user namespace"), "got %d: %s", r,
	          err.text);
}

static void denied(const void *data)
{
	const struct host *host = data;
	struct error err = {};
	int r;

	CHECK_MSG(deny(host->syscall, host->arg, host->value, host->error) == 0, "set-up: %s",
	          strerror(errno));
	r = features_require(&err);
	CHECK_MSG(r == host->code, "got %d: %s", r, err.text);
	CHECK_MSG(strstr(err.text, host->named), "does not name %s: %s", host->named, err.text);
	CHECK_MSG(!strstr(err.text, host->unnamed), "names %s: %s", host->unnamed, err.text);
	if (host->code == -EOPNOTSUPP)
		CHECK_MSG(strstr(err.text, "reuseportd needs Linux 5.14 or later"), "%s", err.text);
}

static void doctor_names_it(const void *data)
{
	const struct host *host = data;
	const struct check *check;
	struct doctor_checks checks = {};

	CHECK_MSG(deny(host->syscall, host->arg, host->value, host->error) == 0, "set-up: %s",
	          strerror(errno));
	CHECK_MSG(doctor_host_check(&checks) == 0, "out of memory");
	check = find_check(&checks, host->named);
	CHECK_MSG(check && check->verdict == CHECK_FAIL && check->advice[0], "no failed row for %s",
	          host->named);
	CHECK_MSG(doctor_checks_worst(&checks) == CHECK_FAIL, "worst is wrong");
	doctor_checks_free(&checks);
}

/* The same for both file systems. */
static void mount_is_found(const char *type, const char *usual,
                           int (*probe)(char *ret_path, size_t n))
{
	char path[PATH_MAX] = "untouched";
	int r;

	CHECK_MSG(hide_mounts() == 0, "set-up: %s", strerror(errno));
	r = probe(path, sizeof(path));
	CHECK_MSG(r == MOUNTS_NONE && !strcmp(path, "untouched"), "not mounted: got %d, %s", r,
	          path);

	CHECK_MSG(mount("none", FOLDER, type, 0, NULL) == 0, "set-up: %s", strerror(errno));
	r = probe(path, strlen(FOLDER));
	CHECK_MSG(r == -ENAMETOOLONG && !strcmp(path, "untouched"), "no room: got %d, %s", r, path);
	r = probe(path, sizeof(path));
	CHECK_MSG(r == 0 && !strcmp(path, FOLDER), "path with blanks: got %d, %s", r, path);

	CHECK_MSG(mount("none", usual, type, 0, NULL) == 0, "set-up: %s", strerror(errno));
	r = probe(path, sizeof(path));
	CHECK_MSG(r == 0 && !strcmp(path, usual), "two of them: got %d, %s", r, path);

	CHECK_MSG(mount("none", usual, "tmpfs", 0, NULL) == 0, "set-up: %s", strerror(errno));
	r = probe(path, sizeof(path));
	CHECK_MSG(r == 0 && !strcmp(path, FOLDER), "hidden by a mount: got %d, %s", r, path);
}

static void bpffs_is_found(void)
{
	mount_is_found("bpf", "/sys/fs/bpf", mounts_find_bpffs);
}

static void cgroup2_is_found(void)
{
	mount_is_found("cgroup2", "/sys/fs/cgroup", mounts_find_cgroup2);
}

static void sysctls_are_read(void)
{
	int value = -7;

	CHECK_MSG(sysctl_read_int("net/ipv4/no_such", &value) == -ENOENT && value == -7, "no such");
	CHECK_MSG(sysctl_read_int("kernel/ostype", &value) == -EINVAL && value == -7, "no number");
	for (int want = 0; want < 2; want++) {
		_cleanup_file_ FILE *file = NULL;

		CHECK_MSG(unshare(CLONE_NEWNET) == 0 &&
		                  (file = fopen("/proc/sys/net/ipv4/tcp_migrate_req", "we")) &&
		                  fprintf(file, "%d", want) > 0 && fflush(file) == 0,
		          "set-up: %s", strerror(errno));
		CHECK_MSG(sysctl_read_int("net/ipv4/tcp_migrate_req", &value) == 0 && value == want,
		          "got %d, want %d", value, want);
	}
}

static const struct check_case cases[] = {
        {"all_features_are_there", all_features_are_there, .apart = true},
        {"doctor_passes_all", doctor_passes_all, .apart = true},
        {"reading_the_kernel_is_forbidden", reading_the_kernel_is_forbidden, .apart = true},
        {"members_are_cast", members_are_cast, .apart = true},
        {"btf_is_read_again", btf_is_read_again, .apart = true},
        {"needed_capabilities_suffice", .run_with = capabilities,
         .data = &(const struct host){.only = CAP(BPF) | CAP(PERFMON) | CAP(SYS_PTRACE) |
                                              CAP(DAC_READ_SEARCH)},
         .apart = true},
        {"sys_admin_stands_for_bpf", .run_with = capabilities,
         .data = &(const struct host){.only = CAP(SYS_ADMIN) | CAP(SYS_PTRACE) | CAP(DAC_OVERRIDE)},
         .apart = true},
        {"without_cap_bpf", .run_with = capabilities,
         .data = &(const struct host){.without = CAP(BPF) | CAP(SYS_ADMIN),
                                      .code = -EPERM,
                                      .named = "missing: CAP_BPF"},
         .apart = true},
        {"without_cap_perfmon", .run_with = capabilities,
         .data = &(const struct host){.without = CAP(PERFMON) | CAP(SYS_ADMIN),
                                      .code = -EPERM,
                                      .named = "missing: CAP_PERFMON"},
         .apart = true},
        {"without_cap_sys_ptrace", .run_with = capabilities,
         .data = &(const struct host){.without = CAP(SYS_PTRACE),
                                      .code = -EPERM,
                                      .named = "missing: CAP_SYS_PTRACE"},
         .apart = true},
        {"without_cap_dac_read_search", .run_with = capabilities,
         .data = &(const struct host){.without = CAP(DAC_READ_SEARCH) | CAP(DAC_OVERRIDE),
                                      .code = -EPERM,
                                      .named = "missing: CAP_DAC_READ_SEARCH"},
         .apart = true},
        {"without_any_capability", .run_with = capabilities,
         .data = &(const struct host){.without = ~UINT64_C(0),
                                      .code = -EPERM,
                                      .named = "missing: CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, "
                                               "CAP_DAC_READ_SEARCH"},
         .apart = true},
        {"mounting_needs_sys_admin", mounting_needs_sys_admin, .apart = true},
        {"user_namespace", user_namespace, .apart = true},
        {"without_permission_for_bpf", .run_with = denied,
         .data = &(const struct host){.syscall = SYS_bpf,
                                      .arg = ANY,
                                      .error = EPERM,
                                      .code = -EPERM,
                                      .named = "bpf() system call (Linux 3.18), for all of "
                                               "steering: Operation not permitted",
                                      .unnamed = "sk_reuseport"},
         .apart = true},
        {"without_bpf_system_call", .run_with = denied,
         .data = &(const struct host){.syscall = SYS_bpf,
                                      .arg = ANY,
                                      .error = ENOSYS,
                                      .code = -EOPNOTSUPP,
                                      .named = "bpf() system call (Linux 3.18)",
                                      .unnamed = "sk_reuseport"},
         .apart = true},
        {"without_bpf_programs", .run_with = denied,
         .data = &(const struct host){.syscall = SYS_bpf,
                                      .arg = 0,
                                      .value = BPF_PROG_LOAD,
                                      .error = EINVAL,
                                      .code = -EOPNOTSUPP,
                                      .named = "connection migration (Linux 5.14)",
                                      .unnamed = "socket array"},
         .apart = true},
        {"without_pidfd", .run_with = denied,
         .data = &(const struct host){.syscall = SYS_pidfd_open,
                                      .arg = ANY,
                                      .error = ENOSYS,
                                      .code = -EOPNOTSUPP,
                                      .named = "pidfd_getfd() (Linux 5.6)",
                                      .unnamed = "bpf()"},
         .apart = true},
        {"without_pidfd_getfd", .run_with = denied,
         .data = &(const struct host){.syscall = SYS_pidfd_getfd,
                                      .arg = ANY,
                                      .error = ENOSYS,
                                      .code = -EOPNOTSUPP,
                                      .named = "pidfd_getfd() (Linux 5.6)",
                                      .unnamed = "bpf()"},
         .apart = true},
        {"without_permission_for_pidfd_getfd", .run_with = denied,
         .data = &(const struct host){.syscall = SYS_pidfd_getfd,
                                      .arg = ANY,
                                      .error = EPERM,
                                      .code = -EPERM,
                                      .named = "pidfd_getfd() (Linux 5.6)",
                                      .unnamed = "bpf()"},
         .apart = true},
        {"without_netns_cookie", .run_with = denied,
         .data = &(const struct host){.syscall = SYS_getsockopt,
                                      .arg = 2,
                                      .value = SO_NETNS_COOKIE,
                                      .error = ENOPROTOOPT,
                                      .code = -EOPNOTSUPP,
                                      .named = "SO_NETNS_COOKIE (Linux 5.14)",
                                      .unnamed = "bpf()"},
         .apart = true},
        {"doctor_names_pidfd_getfd", .run_with = doctor_names_it,
         .data = &(const struct host){.syscall = SYS_pidfd_getfd,
                                      .arg = ANY,
                                      .error = ENOSYS,
                                      .named = "pidfd_getfd()"},
         .apart = true},
        {"bpffs_is_found", bpffs_is_found, .apart = true},
        {"cgroup2_is_found", cgroup2_is_found, .apart = true},
        {"sysctls_are_read", sysctls_are_read, .apart = true},
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
