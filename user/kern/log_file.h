/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening the files for the output of workers. */
#pragma once

#include "base/error.h"
#include "kern/credentials.h"

/*
 * Opens @path for appending, and makes it and the folders above it if necessary. Uses the rights of
 * the workers' user @id, because this user may have put a link there to a file of another user.
 * Where this user has no right, as in /var/log, uses our rights unless @id is limited, but only in
 * folders that the user may not change, without following links, and gives the folders that it
 * makes to the user. A FIFO without a reader is an error. Writing to the descriptor never waits for
 * a reader. Returns the descriptor, which the caller closes, or a negative errno.
 */
int log_file_open(const char *path, const struct credentials *id, struct error *err);
