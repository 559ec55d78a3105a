/* SPDX-License-Identifier: BSD-2-Clause */
/* Which interpreter a command runs, as far as its files show. */
#pragma once

#include <stdbool.h>

/*
 * Whether command @argv runs one of @programs (names, NULL-terminated): by its own name; by the
 * first line of its file; or, if a shell runs it, by a word in the shell's -c text or script. The
 * program is searched along @path (the value of PATH, NULL = default); relative paths start at @cwd
 * (NULL = ours).
 */
bool interpreter_is_among(char *const *argv, const char *path, const char *cwd,
                          const char *const *programs);
