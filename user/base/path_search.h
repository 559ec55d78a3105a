/* SPDX-License-Identifier: BSD-2-Clause */
/* The files that a program name can mean, by the rules of PATH. */
#pragma once

/* The search path where the environment has no PATH. */
#define PATH_SEARCH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* How many parts of PATH are searched. Programs have PATH from files of users. */
#define PATH_SEARCH_MAX 1000

/*
 * Lists the files that program @name can be, in the order of @path (the value of PATH; NULL: the
 * default). A name that contains a slash is the only candidate; an empty part of @path is the
 * current directory. Returns a NULL-terminated vector in one piece of memory, which the caller
 * frees with free(); NULL if memory is short.
 */
char **path_search_candidates(const char *name, const char *path);
