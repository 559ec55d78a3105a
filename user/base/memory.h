/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a failed allocation may do where no caller could go on without the memory: it ends the
 * process. That is safe at any instant: the next command, or the next supervisor, repairs what a
 * killed one has left.
 */
#pragma once

/* Returns @p. If it is NULL, reports that memory is short, and ends the process at once with status
 * EXIT_REFUSED. */
void *memory_need(void *p);

/* The same if @r is -ENOMEM, for functions that return a negative errno. Returns @r. */
int memory_check(int r);
