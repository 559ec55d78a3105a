/* SPDX-License-Identifier: BSD-2-Clause */
/* "Did you mean": finds the known name that is closest to a mistyped one. */
#pragma once

#include <stddef.h>

/* The number of letters to insert, delete, replace, or swap with the next letter, that turns @a
 * into @b. SIZE_MAX if a name has NEAREST_NAME_MAX bytes or more. */
#define NEAREST_NAME_MAX 64
size_t nearest_distance(const char *a, const char *b);

/* Finds the name closest to @word among @n names; name(data, i) returns the @i-th. NULL
 * if none is close enough for a typing error. */
const char *nearest_find(const char *word, const char *(*name)(const void *data, size_t i),
                         const void *data, size_t n);
