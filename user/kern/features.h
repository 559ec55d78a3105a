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

enum feature_id {
	FEATURE_BPF,
	FEATURE_SK_REUSEPORT,
	FEATURE_SOCKARRAY,
	FEATURE_MIGRATE,
	FEATURE_FETCH_ADD,
	FEATURE_MMAP_ARRAY,
	FEATURE_ARRAY_OF_MAPS,
	FEATURE_PIDFD_GETFD,
	FEATURE_NETNS_COOKIE,
	FEATURE_SOCKOPS,
	FEATURE_RINGBUF,
	FEATURE_BTF,
	FEATURE_MAX,
};

struct feature {
	const char *name;
	const char *since; /* the Linux that brought it */
	bool required; /* reuseportd is of no use without it; else just the purpose isn't served */
	const char *purpose; /* what we need it for */
	int (*probe)(void);  /* for features_probe() */
};

const struct feature *features_describe(enum feature_id probe);

/* 1: the kernel has it. 0: it lacks it. A negative errno: it couldn't be found out, as we may not
 * try (-EPERM) or for want of memory, descriptors and the like. */
int features_probe(enum feature_id probe);

/* 0 if `attach` can work here as far as privileges and kernel features go; else -EPERM,
 * -EOPNOTSUPP or the errno of what couldn't be found out, and @err says what is missing. */
int features_require(struct error *err);
