/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the log process writes lines. Writing never waits for a reader. If nothing is accepted, or
 * writing fails, the lines stay in the queues of their sources; log_source.c drops the oldest. That
 * is noted on standard error once when it begins, and again, with the number of lines, when all
 * lines are written.
 */
#pragma once

#include "base/error.h"
#include "stream/log_types.h"

/* The target at @place, which is opened with the rights that @message has; again, if the path leads
 * to another file since. Each call is matched by
 * log_target_unref(). NULL if memory is short. */
struct log_target *log_target_get(struct log_process *log, const struct log_message_place *place,
                                  const struct log_message *message);
void log_target_unref(struct log_target *target);

/* Adds @source, which has a line, to those that wait for their turn. The event loop writes the
 * lines. */
void log_target_list(struct log_source *source);

/* Writes lines now: as many as are accepted, and as one turn of the event loop has time for. */
void log_target_flush(struct log_target *target);

/* Counts lines that were dropped. */
void log_target_note_lost(struct log_target *target, size_t n_lines);

/* Notes how many lines were dropped, as this process ends. */
void log_target_report_lost(struct log_target *target);

/* Opens the file again; until that succeeds, the file that is open stays in use. Does nothing for a
 * stream of the supervisor. Returns 0, or a negative errno with @err set. */
int log_target_reopen(struct log_target *target, struct error *err);

/* Whether it makes sense to wait for the target: it has lines, and is no pipe without a reader. */
bool log_target_may_go_on(const struct log_target *target);
