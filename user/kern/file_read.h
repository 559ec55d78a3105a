/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading files that other users may have changed: only regular files, without waiting for a FIFO
 * or a device, and only up to a limit. Links that /proc makes for open files are not followed,
 * because they lead past the rights of folders.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Limits in bytes: of a configuration, also if a module exports it; of a file of variables; and of
 * the beginning of a script, as far as it is searched for programs. */
#define FILE_READ_CONFIG_MAX (1 << 20)
#define FILE_READ_ENV_MAX    (1 << 20)
#define FILE_READ_HEAD_MAX   (1 << 14)

/*
 * Reads a whole file of at most @max bytes. *ret ends with a NUL byte after the file's bytes, and
 * the caller frees it. @ret_size (may be NULL): the size of the file. Returns 0, or a negative
 * errno with error_usage(): that of open(), or another one if the file is not regular or is too
 * large.
 */
int file_read(const char *path, size_t max, char **ret, size_t *ret_size, struct error *err);

/* Reads the first @size - 1 bytes, at most, of file @name below @folder, and a NUL byte after them.
 * Returns how many, or a negative errno if it is not a regular file that can be read; @head is then
 * "". */
int file_read_head(int folder, const char *name, char *head, size_t size);
