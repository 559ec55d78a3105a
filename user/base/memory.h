/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a failed allocation may do where no caller could go on without the memory: it ends the
 * process. That is safe at any instant: the next command, or the next supervisor, repairs what a
 * killed one has left.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Returns @p. If it is NULL, reports that memory is short, and ends the process at once with status
 * EXIT_REFUSED. */
void *memory_need(void *p);

/* The same if @r is -ENOMEM, for functions that return a negative errno. Returns @r. */
int memory_check(int r);

/* Closes a stream of open_memstream(). Returns its text *@text, which the caller frees; NULL if
 * memory is short: fclose() may return 0 then, too. */
char *memory_close_text(FILE *out, char **text);

/* getdelim() that ends the process if memory is short, because that looks like the end of the file.
 */
ssize_t memory_getdelim(char **line, size_t *room, int delimiter, FILE *file);
