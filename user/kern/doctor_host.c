/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/doctor_host.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "core/kernel_bugs.h"
#include "kern/features.h"
#include "kern/mounts.h"
#include "kern/privileges.h"
#include "kern/sysctl.h"

static int doctor_host_check_privileges(struct doctor_checks *checks)
{
	char missing[CHECK_TEXT_MAX / 2];
	int r = privileges_check(missing, sizeof(missing));

	if (r == 1)
		return doctor_checks_add(checks, CHECK_OK, "privileges", NULL, "%s",
		                         PRIVILEGES_NEEDED);
	return doctor_checks_add(checks, CHECK_FAIL, "privileges",
	                         "run as root, or with the capabilities " PRIVILEGES_NEEDED,
	                         "missing: %s", r == 0 ? missing : strerror(-r));
}

static int doctor_host_check_feature(struct doctor_checks *checks, enum feature_id probe)
{
	const struct feature *f = features_describe(probe);
	int r = features_probe(probe);

	if (r == 1)
		return doctor_checks_add(checks, CHECK_OK, f->name, NULL, "for %s", f->purpose);
	if (r < 0)
		return doctor_checks_add(checks, f->required ? CHECK_WARN : CHECK_NOTE, f->name,
		                         "run as root, and not in a container that forbids it",
		                         "can't be probed: %s; for %s", strerror(-r), f->purpose);
	return doctor_checks_add(checks, f->required ? CHECK_FAIL : CHECK_NOTE, f->name,
	                         "use a newer kernel; on a new one, look for a seccomp filter",
	                         "missing, available since Linux %s; for %s", f->since, f->purpose);
}

static int doctor_host_check_features(struct doctor_checks *checks)
{
	int r = 0;

	for (enum feature_id p = 0; p < FEATURE_MAX && r == 0; p++)
		r = doctor_host_check_feature(checks, p);
	return r;
}

static int doctor_host_check_ptrace_scope(struct doctor_checks *checks)
{
	int scope;

	if (sysctl_read_int("kernel/yama/ptrace_scope", &scope) == 0 && scope >= 3)
		return doctor_checks_add(checks, CHECK_FAIL, "ptrace_scope",
		                         "boot with kernel.yama.ptrace_scope = 2 or less",
		                         "%d: not even root may duplicate a worker's listener",
		                         scope);
	return doctor_checks_add(checks, CHECK_OK, "ptrace_scope", NULL,
	                         "a worker's listener may be duplicated");
}

static int doctor_host_check_bpffs(struct doctor_checks *checks)
{
	char path[PATH_MAX];
	struct stat st;
	int r = mounts_find_bpffs(path, sizeof(path));

	if (r == MOUNTS_NONE)
		return doctor_checks_add(checks, CHECK_NOTE, "bpffs", NULL,
		                         "not mounted; the first service mounts it");
	if (r < 0 || stat(path, &st) < 0)
		return doctor_checks_add(checks, CHECK_WARN, "bpffs", NULL, "can't be checked: %s",
		                         strerror(r < 0 ? -r : errno));
	if (st.st_mode & S_IWOTH)
		return doctor_checks_add(
		        checks, CHECK_WARN, "bpffs", "restrict the mount point: chmod 0700",
		        "every user may write to %s, and could make reuseportd's folder there",
		        path);
	return doctor_checks_add(checks, CHECK_OK, "bpffs", NULL, "%s", path);
}

static int doctor_host_check_cgroup2(struct doctor_checks *checks)
{
	char path[PATH_MAX];
	int r = mounts_find_cgroup2(path, sizeof(path));

	if (r == 0)
		return doctor_checks_add(checks, CHECK_OK, "cgroup2", NULL, "%s", path);
	return doctor_checks_add(checks, CHECK_NOTE, "cgroup2",
	                         "mount -t cgroup2 none /sys/fs/cgroup",
	                         "%s; needed for `run` and `attach --watch`",
	                         r == MOUNTS_NONE ? "not mounted" : strerror(-r));
}

static int doctor_host_check_kernel_bug(struct doctor_checks *checks)
{
	static const struct {
		enum verdict verdict;
		const char *text;
	} rows[] = {
	        [KERNEL_BUG_ABSENT] = {CHECK_OK, "older than the code that has this bug"},
	        [KERNEL_BUG_FIXED] = {CHECK_OK, "has the fix"},
	        [KERNEL_BUG_PRESENT] = {CHECK_WARN,
	                                "a worker may not notice connections that migrated to it "
	                                "from a closed listener, until another one comes"},
	        [KERNEL_BUG_UNKNOWN] = {CHECK_NOTE,
	                                "its release doesn't say whether it has the fix: a worker "
	                                "may not notice connections that migrated to it from "
	                                "a closed listener, until another one comes"},
	};
	struct utsname kernel;
	enum kernel_bug bug;

	_Static_assert(ARRAY_SIZE(rows) == KERNEL_BUG_MAX, "a row for each");
	uname(&kernel);
	bug = kernel_bugs_check_migration(kernel.release, kernel.version);
	return doctor_checks_add(
	        checks, rows[bug].verdict, "CVE-2026-46015",
	        rows[bug].verdict == CHECK_OK
	                ? NULL
	                : "drain a worker before you stop it; use a kernel with the fix "
	                  "(see your distribution's notes on this CVE)",
	        "Linux %s: %s", kernel.release, rows[bug].text);
}

static int doctor_host_check_migrate_req(struct doctor_checks *checks)
{
	int on, r = sysctl_read_int("net/ipv4/tcp_migrate_req", &on);

	if (r < 0)
		return doctor_checks_add(checks, CHECK_NOTE, "tcp_migrate_req", NULL,
		                         "can't be read: %s", strerror(-r));
	if (on)
		return doctor_checks_add(
		        checks, CHECK_OK, "tcp_migrate_req", NULL,
		        "1: connections also migrate in groups that are not steered");
	return doctor_checks_add(
	        checks, CHECK_NOTE, "tcp_migrate_req", NULL,
	        "0: steered groups do not need this, because the steering program migrates "
	        "connections; other groups lose the queue of a listener that closes");
}

static int doctor_host_check_syncookies(struct doctor_checks *checks)
{
	int mode, r = sysctl_read_int("net/ipv4/tcp_syncookies", &mode);

	if (r < 0)
		return doctor_checks_add(checks, CHECK_NOTE, "tcp_syncookies", NULL,
		                         "can't be read: %s", strerror(-r));
	if (mode == 0)
		return doctor_checks_add(
		        checks, CHECK_NOTE, "tcp_syncookies",
		        "set net.ipv4.tcp_syncookies = 1, the kernel's default",
		        "0: when a SYN queue is full, new connections are dropped");
	if (mode == 1)
		return doctor_checks_add(checks, CHECK_OK, "tcp_syncookies", NULL,
		                         "1: cookies are used when a SYN queue is full");
	return doctor_checks_add(
	        checks, CHECK_WARN, "tcp_syncookies",
	        "set net.ipv4.tcp_syncookies = 1, unless this is a test",
	        "%d: every handshake is by cookie: each connection is steered twice, and a "
	        "handshake under way can't migrate",
	        mode);
}

int doctor_host_check_network(struct doctor_checks *checks, const char *service)
{
	size_t first = checks->n;
	int r = doctor_host_check_migrate_req(checks);

	if (r == 0)
		r = doctor_host_check_syncookies(checks);
	for (size_t i = first; service && i < checks->n; i++) {
		struct check *row = &checks->rows[i];
		const struct check found = *row;

		snprintf(row->name, sizeof(row->name), "%s", service);
		snprintf(row->detail, sizeof(row->detail), "%s = %.200s", found.name, found.detail);
	}
	return r;
}

int doctor_host_check(struct doctor_checks *checks)
{
	static int (*const all[])(struct doctor_checks *) = {
	        doctor_host_check_privileges,   doctor_host_check_features,
	        doctor_host_check_ptrace_scope, doctor_host_check_bpffs,
	        doctor_host_check_cgroup2,      doctor_host_check_kernel_bug,
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int r = all[i](checks);

		if (r < 0)
			return r;
	}
	return doctor_host_check_network(checks, NULL);
}
