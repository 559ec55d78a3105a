/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of a supervisor or a watcher, on standard error. Logging never waits for the reader.
 * While standard error is not read, about LOG_KEPT_MAX bytes of lines are kept; the number of lines
 * beyond that is logged when reading goes on. As there is one standard error there is one log.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/clock.h"

#define LOG_KEPT_MAX (256 * 1024)
#define LOG_END_NS   (5 * NS_PER_S) /* how long an orderly end waits for the reader */

/* Opens the log: from then on the event loop writes the lines. Returns 0 or a negative errno. */
int log_open(sd_event *loop);

/* Logs a line, or several lines separated by \n, escaped as ESCAPE_LINES. Without an open log it is
 * written at once. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Writes the rest and closes the log, without the event loop. Waits for at most @ns nanoseconds
 * until standard error has accepted the rest and would accept another line. If it doesn't, standard
 * error is /dev/null from then on, so that later messages don't wait either. Without an open log it
 * does nothing.
 */
void log_close(int64_t ns);
