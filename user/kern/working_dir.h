/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The working directory by the path that the user has given: $PWD, as the shell sets it. If a link
 * is on that path, as with releases and the link `current`, the path leads to another directory
 * after the link was switched.
 */
#pragma once

#include <stdbool.h>

/* Returns the path. NULL if no link is on it, or $PWD is not set or names another directory; then
 * the working directory itself counts. Also NULL if another user than that of the directory
 * controls the link: that user could choose what other users execute. Finds the path when it is
 * first called, and later returns the same. */
const char *working_dir_as_given(void);

/* Goes to where the path leads now, unless other users than root and our own control it. */
void working_dir_follow(void);
