/* SPDX-License-Identifier: BSD-2-Clause */
/* A limit for JSON text that is parsed: json-c takes 700 bytes of memory for "{}". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether @text, of @n bytes, has few enough '{' and '[': then its value needs at most 1 MB and
 * 50 bytes for each byte of text. Text that a person or a program has a reason to write has. */
bool json_limit_allows(const char *text, size_t n);
