/* SPDX-License-Identifier: BSD-2-Clause */
/* Text of 80 columns. */
#pragma once

#include <stdio.h>

/* Prints @text and a newline, broken between words at column 80. The first line begins at column
 * @at, where the cursor is; the others at column @indent. */
void wrap_print(FILE *out, const char *text, int at, int indent);
