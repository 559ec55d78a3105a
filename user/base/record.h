/* SPDX-License-Identifier: BSD-2-Clause */
/* Text in a stream of bytes between two processes of the same program. */
#pragma once

#include <stdio.h>

#define RECORD_TEXT_MAX (2 << 20) /* bytes; longer text is refused by the reader */

/* Writes @text, or that it is NULL. Errors are those of @out. */
void record_write_text(const char *text, FILE *out);

/* Reads a text, which the caller frees; or NULL. Returns 0, -EBADMSG or -ENOMEM. */
int record_read_text(FILE *in, char **ret);
