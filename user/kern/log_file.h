/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that the output of workers is appended to. */
#pragma once

#include "base/error.h"
#include "kern/credentials.h"

/*
 * Opens @path for appending; makes it, and the folders on the way to it, if they aren't there. All
 * as the user of @id, who might have put a link there to a file that isn't theirs. What that user
 * has no right to, as in /var/log, we do ourselves and follow no link; folders that we make are
 * given to the user. A FIFO that nobody reads is refused rather than waited for. Returns the
 * descriptor, which the caller closes, or a negative errno.
 */
int log_file_open(const char *path, const struct credentials *id, struct error *err);
