/* SPDX-License-Identifier: BSD-2-Clause */
/* Vectors of NAME=VALUE (base/strv.h), and the text of the files that hold such. */
#pragma once

#include <stddef.h>

/* The value of @name, or NULL. */
const char *env_find(char *const *env, const char *name);

/* Adds @setting, NAME=VALUE, in place of an earlier one of that name. -EINVAL if it is none;
 * -ENOMEM. */
int env_set(char ***env, const char *setting);

/*
 * Adds what the text of a file says: a line NAME=VALUE each, maybe with "export " in front; blank
 * lines and such that begin with '#' mean nothing. Blanks around a value are dropped, and so are
 * quotes around all of it: '...' is taken literally, in "..." \n, \t, \" and \\ have their meaning,
 * and a value in quotes may go over several lines. Nothing is expanded. -EINVAL with the number of
 * the first line that is none of that in *@ret_line; -ENOMEM.
 */
int env_parse(const char *text, char ***env, unsigned int *ret_line);
