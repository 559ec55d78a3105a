/* SPDX-License-Identifier: BSD-2-Clause */
/* The files and directories of a cgroup, for the cgroup*.c files only. Each function returns a
 * negative errno on failure. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Writes @text to the existing file @path below directory @at. */
int cgroup_file_write(int at, const char *path, const char *text);

/* Reads the file, as far as it fits into @size bytes with a final NUL. */
int cgroup_file_read(int at, const char *path, char *buf, size_t size);

/* Opens a directory; -ELOOP or -ENOTDIR if @path is a symbolic link. Returns the descriptor. */
int cgroup_file_open_directory(int at, const char *path);

/* Fills @err with the reason @code why the cgroup @path couldn't be made. Returns @code. */
int cgroup_file_explain(int code, const char *path, struct error *err);
