/* SPDX-License-Identifier: BSD-2-Clause */
/* Environments: vectors of NAME=VALUE (base/strv.h), and files of NAME=VALUE lines. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Returns the value of @name, or NULL. */
const char *env_find(char *const *env, const char *name);

/* Whether @text is NAME=VALUE with a name that a shell or systemd accepts: letters, digits and '_',
 * no digit first. An inherited environment can contain other names, which are passed on. */
bool env_is_setting(const char *text);

/* Adds @setting, NAME=VALUE with any name; it replaces an earlier value. -EINVAL if it has another
 * form; -ENOMEM. */
int env_set(char ***env, const char *setting);

/* As env_set() with each string of @more, in order; all of them are NAME=VALUE. @more and its
 * strings then belong to @env. Returns 0, or -ENOMEM with nothing changed. */
int env_merge(char ***env, char **more);

/* A positive result. */
enum env_result {
	ENV_BAD_LINE = 1, /* not NAME=VALUE, or a name that env_is_setting() rejects */
};

/*
 * Adds the settings of a file's @text: one NAME=VALUE a line, optionally after "export ". Blank
 * lines, and lines that begin with '#' or ';', are ignored, and so is a byte order mark.
 *
 * Values follow systemd's EnvironmentFile=. Blanks around a value are dropped, and so are quotes
 * around all of it; a quoted value may span several lines, and a comment that begins with '#' may
 * follow it, as in Node's files. '...' is literal. In "..." the escapes \", \\, \` and \$ are
 * known, and also \n and \t, as in Node's files. Without quotes a backslash keeps the next
 * character. Except in '...' a backslash before a newline drops both. Nothing is expanded.
 *
 * Returns 0, with the number of the first line in *ret_line that dotenv and Node.js read otherwise,
 * or 0: a value without quotes has a '#' or a backslash, or begins with a '`'. Or, with @env
 * unchanged, ENV_BAD_LINE with the number of the first bad line in *ret_line, or -ENOMEM. Needs a
 * few times the memory of the text.
 */
int env_parse(const char *text, char ***env, unsigned int *ret_line);
