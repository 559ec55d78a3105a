/* SPDX-License-Identifier: BSD-2-Clause */
/* What a command comes to run, as far as it can be seen from outside. */
#pragma once

#include <stdbool.h>

/*
 * Whether @argv runs one of @programs (names, NULL-terminated): by its own name, by the first line
 * of its file, or, if a shell runs it, by a word in the text or the script that the shell is given.
 * The file is looked for along @path (as PATH), relative ones from @cwd; NULL = ours.
 */
bool interpreter_is_among(char *const *argv, const char *path, const char *cwd,
                          const char *const *programs);
