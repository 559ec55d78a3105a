/* SPDX-License-Identifier: BSD-2-Clause */
/* What the supervisor of a service reports: log lines, and that something has changed. */
#pragma once

#include "supervise/types.h"

/* Writes a line to the log, and sends it to the commands that wait for the supervisor. */
void report_line(struct supervisor *sup, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* A worker or a slot has changed its state. When all events that are due have been handled,
 * supervisor_on_change() answers the commands that waited for this, and decides whether the service
 * has ended. */
void report_change(struct supervisor *sup);
