/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel features that reuseportd uses. Each is probed by using it, never by comparing
 * versions: distributions backport features, and seccomp filters take them away.
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
	FEATURE_READ_KERNEL,
	FEATURE_CGROUP_SKB,
	FEATURE_MAX,
};

struct feature {
	const char *name;
	const char *since;   /* the first Linux that has it */
	bool required;       /* if not, only @purpose is unavailable without it */
	const char *purpose; /* what we need it for */
	int (*probe)(void);  /* for features_probe() */
};

const struct feature *features_describe(enum feature_id feature);

/* Returns 1 if the kernel has the feature, 0 if not, or a negative errno if it couldn't be probed:
 * -EPERM, or lack of memory, descriptors and the like. */
int features_probe(enum feature_id feature);

/* Checks that we have the privileges and kernel features that `attach` needs. -EPERM, -EOPNOTSUPP,
 * or the errno of a failed probe; @err lists what is missing. */
int features_require(struct error *err);
