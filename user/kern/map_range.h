/* SPDX-License-Identifier: BSD-2-Clause */
/* Many entries of an array map in one system call. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Fills in @values with the @n entries of array map @fd from @first on. Of a per-CPU array an entry
 * is a value for each possible CPU, one after the other, each rounded up to 8 bytes.
 * Returns 0 or a negative errno; -EIO if the map doesn't have so many.
 */
int map_range_read(int fd, uint32_t first, size_t n, void *values);
