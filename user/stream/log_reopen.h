/* SPDX-License-Identifier: BSD-2-Clause */
/* The request to open the log files again, after logrotate(8) for example has renamed them. Each
 * connection to the socket "log" in the run directory is such a request. */
#pragma once

#include "base/error.h"
#include "stream/log_types.h"

#define LOG_REOPEN_SOCKET "log"

/* Opens all log files again. Returns 0, or a negative errno with the first reason in @err. */
int log_reopen(struct log_process *log, struct error *err);

/* Listens for requests in the run directory, and no longer in an earlier one. Returns 0 or a
 * negative errno. */
int log_reopen_listen(struct log_process *log);

/* For commands: asks the log process that listens on @path, and waits for its answer. Returns 0, or
 * a negative errno with @err set: -ECONNREFUSED or -ENOENT if there is no log process. */
int log_reopen_ask(const char *path, struct error *err);
