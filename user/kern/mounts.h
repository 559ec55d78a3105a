/* SPDX-License-Identifier: BSD-2-Clause */
/* Mount points of the kernel's file systems. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* A positive result. */
enum mounts_result {
	MOUNTS_NONE = 1, /* no file system of this type is mounted, or none can be reached */
};

/* Finds the mount point of cgroup2, or of bpffs; if there are several, the one at the usual place
 * (/sys/fs/cgroup, /sys/fs/bpf) is preferred. Returns 0, MOUNTS_NONE, or a negative errno:
 * -ENAMETOOLONG if @n bytes are too few. */
int mounts_find_cgroup2(char *ret_path, size_t n);
int mounts_find_bpffs(char *ret_path, size_t n);

/* As mounts_find_cgroup2(), but a missing mount is an error, with what to do in @err. */
int mounts_require_cgroup2(char *ret_path, size_t n, struct error *err);

/* Returns the mount point in a line of mountinfo (proc_pid_mountinfo(5)), which is changed, or NULL
 * if it has another type than @type. */
char *mounts_parse_line(char *line, const char *type);
