/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of a cgroup, for the cgroup*.c only. */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define CGROUP_PARENT "reuseportd" /* of the services' cgroups */

int cgroup_write(int at, const char *path, const char *text);

/* Reads what fits, with a final NUL. */
int cgroup_read(int at, const char *path, char *buf, size_t size);

/* A descriptor of the directory, not of what a symbolic link leads to. */
int cgroup_directory(int at, const char *path);

/* Says why the cgroup @path couldn't be made. Returns @code. */
int cgroup_refused(int code, const char *path, struct error *err);
