/* SPDX-License-Identifier: BSD-2-Clause */
/* What the log process itself reports, on standard error. */
#pragma once

#include "stream/log_types.h"

/* Opens standard error for notes. Returns 0 or a negative errno. */
int log_note_open(struct log_process *log);

/* Adds a line "SERVICE: TEXT" to standard error. The event loop writes it. */
void log_note(struct log_process *log, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
