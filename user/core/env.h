/* SPDX-License-Identifier: BSD-2-Clause */
/* Vectors of NAME=VALUE (base/strv.h), and the text of the files that hold such. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The value of @name, or NULL. */
const char *env_find(char *const *env, const char *name);

/* Whether it is NAME=VALUE with a name such as a shell or systemd takes: letters, digits and '_', a
 * digit not at the beginning. Others have come into an environment, too, and are passed on. */
bool env_is_setting(const char *text);

/* Adds @setting, NAME=VALUE of any name, in place of an earlier one of that name. -EINVAL if it is
 * none; -ENOMEM. */
int env_set(char ***env, const char *setting);

/*
 * Adds what the text of a file says: a line NAME=VALUE each, maybe with "export " in front; blank
 * lines and such that begin with '#' or ';' mean nothing. Values are as in systemd's
 * EnvironmentFile=: blanks around one are dropped, and so are quotes around all of it, with which
 * it may go over several lines. '...' is taken literally; in "..." \", \\, \` and \$ have their
 * meaning, and beside that \n and \t, as programs for Node have it; without quotes a backslash
 * keeps the character that follows. A newline after one is dropped, but in '...'. Nothing is
 * expanded. -EINVAL with the number of the first line that is none of that in *@ret_line, or has a
 * name that env_is_setting() doesn't take; -ENOMEM.
 */
int env_parse(const char *text, char ***env, unsigned int *ret_line);
