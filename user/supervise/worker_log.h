/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a worker's output goes, by its configuration. */
#pragma once

#include "base/error.h"
#include "core/run_config.h"
#include "stream/log_message.h"

/* Checks that the worker's log files can be written, and makes them. Returns 0, or a negative errno
 * with @err set. */
int worker_log_check(const struct run_config *config, unsigned int slot, struct error *err);

/* Fills in a LOG_MESSAGE_ADD for the worker. If its user is unknown by now, its output goes to the
 * supervisor's streams. */
void worker_log_describe(const struct run_config *config, const char *service, unsigned int slot,
                         unsigned int number, struct log_message *ret);

/* Lets the worker, whichever user it runs as, open @fds again by name (its /dev/stdout and
 * /dev/stderr). */
int worker_log_share(const struct run_config *config, const int fds[2], struct error *err);
