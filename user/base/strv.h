/* SPDX-License-Identifier: BSD-2-Clause */
/* NULL-terminated vectors of strings, like argv and environ. NULL is an empty vector. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define _cleanup_strv_ _cleanup_(strv_cleanup)

size_t strv_length(char *const *v);

/* Appends a copy of @text to *@v, which is reallocated. Returns 0, or -ENOMEM with *@v unchanged.
 */
int strv_append(char ***v, const char *text);

/* Moves the strings of @more to the end of *@v, which is reallocated, and frees the vector @more.
 * Returns 0, or -ENOMEM with nothing changed. */
int strv_extend(char ***v, char **more);

/* Copies the vector and its strings; the caller frees *ret by strv_free(). The copy of NULL is
 * NULL. Returns 0 or -ENOMEM. */
int strv_copy(char *const *v, char ***ret);

/* Whether both have the same strings, in the same order. */
bool strv_equal(char *const *a, char *const *b);

/* Frees the strings and the vector. */
void strv_free(char **v);

static inline void strv_cleanup(char ***v)
{
	strv_free(*v);
}
