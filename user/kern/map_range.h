/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading many entries of an array map in one system call. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Reads the @n entries of array map @fd from @first on into @values. An entry of a per-CPU array
 * has a value for each possible CPU, one after the other, each rounded up to 8 bytes. Returns 0 or
 * a negative errno; -EIO if the map is too short.
 */
int map_range_read(int fd, uint32_t first, size_t n, void *values);
