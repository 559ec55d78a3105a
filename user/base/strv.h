/* SPDX-License-Identifier: BSD-2-Clause */
/* Vectors of strings, NULL-terminated, as argv and environ are. NULL is an empty one. */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"

#define _cleanup_strv_ _cleanup_(strv_cleanup)

size_t strv_length(char *const *v);

/* Appends a copy of @text to *@v, which moves. -ENOMEM, and *@v is as it was. */
int strv_append(char ***v, const char *text);

/* A copy with copies of the strings; of NULL, NULL. -ENOMEM. */
int strv_copy(char *const *v, char ***ret);

/* Frees the strings and the vector. */
void strv_free(char **v);

static inline void strv_cleanup(char ***v)
{
	strv_free(*v);
}
