/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our limit of open files (RLIMIT_NOFILE): raised for us, and restored for the programs that we
 * start. Some programs close all descriptors that they may have open, and need minutes for it under
 * a high limit.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Raises the soft limit to the hard limit. Does nothing if that isn't allowed. */
void file_limit_raise(void);

/* Checks that the limit is sufficient for a service with a few workers. Without this, a start fails
 * somewhere, for a reason that depends on the number. -EMFILE: it isn't. */
int file_limit_check(struct error *err);

/* Restores the limit as it was before file_limit_raise(): in a child before exec(), or here before
 * a re-exec. Makes one system call and no other call, so it is safe between clone3() and exec(). */
void file_limit_restore(void);

/* Whether @fd, which has just been opened, is among the last descriptors of the limit: then a
 * client should be refused, so that enough are left for what must go on. */
bool file_limit_is_near(int fd);
