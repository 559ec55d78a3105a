/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/privileges.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "kern/mounts.h"

static bool privileges_bpffs_is_missing(void)
{
	char path[PATH_MAX];

	return mounts_find_bpffs(path, sizeof(path)) == MOUNTS_NONE;
}

/*
 * The capabilities that the steps of `attach` need, found by removing them one by one (Linux 6.1
 * and 6.18):
 *
 *   CAP_BPF              maps, program and its BTF
 *   CAP_PERFMON          the program: without it the verifier guards against Spectre, and refuses
 *                        pointer arithmetic that a compiler makes of ordinary code
 *   CAP_SYS_PTRACE       pidfd_getfd(), /proc/PID/fd and ns of a process with another uid, or with
 *                        more capabilities than ours
 *   CAP_DAC_READ_SEARCH  opening /proc/PID/fd of another uid: its mode is 0500
 *   CAP_SYS_ADMIN        replaces the first two; mounting bpffs, entering a network namespace
 *   CAP_NET_ADMIN        only loading the sockops program of --watch
 *   none                 sock_diag, pins (the folder's owner may), filling a socket array,
 *                        SO_ATTACH_REUSEPORT_EBPF
 */
static const struct privilege {
	const char *name;
	int capability;
	int instead;             /* a capability that does as well */
	bool (*is_needed)(void); /* NULL: always */
} privileges_always[] = {
        {"CAP_BPF", CAP_BPF, CAP_SYS_ADMIN},
        {"CAP_PERFMON", CAP_PERFMON, CAP_SYS_ADMIN},
        {"CAP_SYS_PTRACE", CAP_SYS_PTRACE, CAP_SYS_PTRACE},
        {"CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE},
        {"CAP_SYS_ADMIN (to mount bpffs)", CAP_SYS_ADMIN, CAP_SYS_ADMIN,
         privileges_bpffs_is_missing},
};

/* To run a worker as another user, to stop it, and to open a listener in its group. */
static const struct privilege privileges_other_user[] = {
        {"CAP_SETUID", CAP_SETUID, CAP_SETUID},
        {"CAP_SETGID", CAP_SETGID, CAP_SETGID},
        {"CAP_KILL", CAP_KILL, CAP_KILL},
        {"CAP_CHOWN", CAP_CHOWN, CAP_CHOWN},
};

static int privileges_read_effective(uint64_t *ret)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, words) < 0)
		return -errno;
	*ret = words[0].effective | (uint64_t)words[1].effective << 32;
	return 0;
}

static int privileges_check_all(const struct privilege *all, size_t n_all, char *ret_missing,
                                size_t n)
{
	char missing[256] = "";
	size_t at = 0;
	uint64_t ours = 0;
	int r;

	r = privileges_read_effective(&ours);
	if (r < 0)
		return r;
	for (const struct privilege *p = all; p < all + n_all; p++) {
		if (ours & (UINT64_C(1) << p->capability | UINT64_C(1) << p->instead) ||
		    (p->is_needed && !p->is_needed()))
			continue;
		at += snprintf(missing + at, sizeof(missing) - at, "%s%s", at ? ", " : "", p->name);
	}
	if (at == 0)
		return 1;
	snprintf(ret_missing, n, "%s", missing);
	return 0;
}

void privileges_keep_for_files(void)
{
	static const uint32_t kept = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
	                             1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER |
	                             1u << CAP_SETUID | 1u << CAP_SETGID;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_capget, &header, words) < 0)
		return;
	words[0].permitted &= kept;
	words[0].effective &= kept;
	words[0].inheritable = words[1].inheritable = 0;
	words[1].permitted = words[1].effective = 0;
	syscall(SYS_capset, &header, words);
}

int privileges_check(char *ret_missing, size_t n)
{
	return privileges_check_all(privileges_always, ARRAY_SIZE(privileges_always), ret_missing,
	                            n);
}

int privileges_check_other_user(char *ret_missing, size_t n)
{
	return privileges_check_all(privileges_other_user, ARRAY_SIZE(privileges_other_user),
	                            ret_missing, n);
}
