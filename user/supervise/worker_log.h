/* SPDX-License-Identifier: BSD-2-Clause */
/* The files that workers' output is appended to. */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

/* Opens the log file @name of the configuration, for the worker to append to. Returns the
 * descriptor, which the caller closes, or a negative errno with @err set. */
int worker_log_open(const struct worker *w, const char *name, struct error *err);

/* Lets the worker, whichever user it runs as, open the file that its output goes to (its
 * /dev/stdout). */
int worker_log_share(const struct worker *w, struct error *err);
