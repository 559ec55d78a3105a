/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * There is one log process a service. A new one ends the one before it, which leaves the lines that
 * it has not written in a file of the run directory, "log.state". The file is also the lock.
 */
#pragma once

#include "stream/log_types.h"

/* Ends the log process before this one, and reads what it has left. Waits some seconds for its end.
 * Returns 0 or a negative errno: -ECANCELED if a later log process has taken over already. */
int log_state_take(struct log_process *log);

/* The run directory is another one. Returns 0 or a negative errno. */
int log_state_move(struct log_process *log);

/* Gives @source the lines that it had in the log process before this one. Its target is set. */
void log_state_restore(struct log_source *source);

/* Leaves all lines for the next log process. */
void log_state_leave(struct log_process *log);
