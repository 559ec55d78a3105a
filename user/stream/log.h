/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a supervisor or a watcher says on standard error. It never waits for whoever reads that:
 * while it isn't read lines are kept, at most some LOG_KEPT_MAX bytes of them, and how many more
 * there were is told when it is read again. There is one log, as there is one standard error.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/clock.h"

#define LOG_KEPT_MAX (256 * 1024)
#define LOG_END_NS   (5 * NS_PER_S) /* what an orderly end waits for that */

/* From now on lines wait, for the loop to write them. Returns 0 or a negative errno. */
int log_open(sd_event *loop);

/* A line, or several with their ends between them. With no log open it is written at once. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Writes what is left, and then closes the log; no loop is needed any more. Waits for at most @ns
 * until standard error takes that, and another line. If it doesn't, it is /dev/null from then on:
 * what else would be said must not wait either. Without a log it does nothing.
 */
void log_close(int64_t ns);
