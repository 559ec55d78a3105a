/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The supervisor's end of the log process (stream/log_process.h), which is in the child "log" of
 * the service's cgroup. It is started again if it dies. The supervisor keeps each worker's FIFOs
 * open, so that they lose nothing meanwhile. It also passes its end of each worker's channel
 * (channel.h), which the log process keeps open for the next supervisor. If both die at the same
 * time, the channels are closed.
 *
 * The supervisor never waits for it, except for the answer of log_link_tail().
 */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

#define LOG_LINK_CGROUP "log"

/* Starts a log process, which replaces the one of an earlier supervisor. Adds the workers of that
 * supervisor with their FIFOs, from the run directory, and their channels, from its log process. To
 * `stop` a service without a supervisor, its log process stays. Returns 0, or a negative errno with
 * @err set. */
int log_link_open(struct supervisor *sup, struct error *err);

/* Makes the FIFOs of a new worker, and adds it with its channel. @ret_fds: for its standard output
 * and standard error; the caller closes them. Returns 0, or a negative errno with @err set. */
int log_link_add(struct worker *w, int ret_fds[2], struct error *err);

/* The run directory was deleted, and has been made again: the log process goes on in the new one.
 * The names of FIFOs stay deleted, so the next supervisor finds them at the log process. Returns 0,
 * or a negative errno with @err set. */
int log_link_move(struct supervisor *sup, struct error *err);

/* Returns a duplicate of our end of the channel, for a worker that was added by log_link_open(); -1
 * if it has none. */
int log_link_take_channel(const struct worker *w);

/* All processes of the worker have ended. */
void log_link_note_gone(const struct worker *w);

/* The same for all workers that were added by log_link_open(), and are not in sup->workers. */
void log_link_note_former_gone(struct supervisor *sup);

/* The worker's last lines; "" if there are none. If the log process doesn't answer at once, "" as
 * well, also for all later calls until it answers. Valid until the next call. */
const char *log_link_tail(const struct worker *w);

/* After the last worker: lets the log process write what is left, and end. Returns whether it has
 * ended; if not, report_change() is called later. It is killed after some seconds. */
bool log_link_end(struct supervisor *sup);

/* Drops what the log process has not written. */
void log_link_kill(struct supervisor *sup);

void log_link_free(struct log_link *link);
