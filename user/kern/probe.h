/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this host offers: kernel features, found by using them and never by comparing versions (a
 * distribution backports, a seccomp filter takes away); our privileges; mounts; sysctls. What to
 * make of it for `doctor` is checkup's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum probe {
	PROBE_BPF,
	PROBE_SK_REUSEPORT,
	PROBE_SOCKARRAY,
	PROBE_MIGRATE,
	PROBE_FETCH_ADD,
	PROBE_MMAP_ARRAY,
	PROBE_ARRAY_OF_MAPS,
	PROBE_PIDFD_GETFD,
	PROBE_NETNS_COOKIE,
	PROBE_SOCKOPS,
	PROBE_RINGBUF,
	PROBE_BTF,
	PROBE_MAX,
};

struct feature {
	const char *name;
	const char *since; /* the Linux that brought it */
	bool required; /* reuseportd is of no use without it; else just the purpose isn't served */
	const char *purpose; /* what we need it for */
	int (*probe)(void);  /* for probe_feature() */
};

const struct feature *probe_describe(enum probe probe);

/* 1: the kernel has it. 0: it lacks it. A negative errno: it couldn't be found out, as we may not
 * try (-EPERM) or for want of memory, descriptors and the like. */
int probe_feature(enum probe probe);

/* What probe_privileges() asks for, for messages. */
#define PROBE_PRIVILEGES "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH"

/* 1: we have all capabilities that `attach` needs, CAP_SYS_ADMIN included if bpffs is yet to be
 * mounted. 0: @ret_missing names those that lack. */
int probe_privileges(char *ret_missing, size_t n);

/* 0 if `attach` can work here as far as privileges and kernel features go; else -EPERM,
 * -EOPNOTSUPP or the errno of what couldn't be found out, and @err says what is missing. */
int probe_require(struct error *err);

/* Mount point of the cgroup2 hierarchy; of bpffs, the one at /sys/fs/bpf if there are several.
 * -ENOENT if there is none, -ENAMETOOLONG if @n is too small. */
int probe_cgroup2(char *ret_path, size_t n);
int probe_bpffs(char *ret_path, size_t n);

/* A number under /proc/sys, "net/ipv4/tcp_syncookies" say; what is under net/ is that of our
 * network namespace. -ENOENT if this kernel has no such sysctl. */
int probe_sysctl_int(const char *name, int *ret);
