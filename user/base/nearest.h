/* SPDX-License-Identifier: BSD-2-Clause */
/* "Did you mean": which known name a mistyped one is closest to. */
#pragma once

#include <stddef.h>

/* How many letters must be put in, left out, replaced, or swapped with the next one, to make @b of
 * @a. Names of NEAREST_NAME_MAX bytes and more have nothing near them: SIZE_MAX. */
#define NEAREST_NAME_MAX 64
size_t nearest_distance(const char *a, const char *b);

/* Of the @n names, the @i-th being name(data, i), the one closest to @word, if it is close enough
 * to be a slip of it; else NULL. */
const char *nearest_find(const char *word, const char *(*name)(const void *data, size_t i),
                         const void *data, size_t n);
