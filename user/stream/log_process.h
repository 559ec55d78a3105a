/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log process of a service: reads what the workers print, and writes the lines to the log
 * files, or to the standard output and standard error that it has from the supervisor.
 *
 * Each worker prints into two FIFOs of its own in the run directory, which it has open for reading
 * as well: so it gets no SIGPIPE, whichever of our processes dies, and waits only while no log
 * process reads. The log process outlives the supervisor, and ends by itself after the last worker
 * and the supervisor. The supervisor starts another one if it dies (supervise/log_link.h); a new
 * supervisor replaces it (log_state.h).
 *
 * It keeps our end of each worker's channel open, too, for the next supervisor
 * (supervise/channel.h), and never reads it.
 *
 * Each worker has its turn, and what is kept in memory is limited (LOG_KEEP_MAX).
 */
#pragma once

#include "stream/log_types.h"

/* Runs the log process, after spawn_start() with the descriptors of log_message.h. Returns the exit
 * status. */
int log_process_main(const char *service);

/* Whether our descriptors are those of a log process. */
bool log_process_is_one(void);
