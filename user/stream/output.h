/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The output of workers. Each worker appends to a file of its own in the run directory (in memory:
 * /run is a tmpfs). We follow the file, write its lines to our standard output, and free what is
 * written. So a worker never waits for us, gets no SIGPIPE, and loses no line when we die: the next
 * supervisor continues at the same position. A pipe would block the workers, or kill them, once its
 * reader is gone.
 *
 * Lines are written as a whole, and lines of different workers are never mixed. A line longer than
 * OUTPUT_LINE_MAX is split. A last line without an end is written when its worker has ended. A
 * worker that writes faster than our standard output is frozen (cgroup.freeze) while more than
 * OUTPUT_BEHIND_MAX bytes wait.
 *
 * No function here waits for our standard output: the event loop writes what it doesn't accept at
 * once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/error.h"

#define OUTPUT_LINE_MAX   65536 /* bytes, without the end of line */
#define OUTPUT_BEHIND_MAX (64u << 20)
#define OUTPUT_TAIL_MAX   4096 /* bytes of the last lines that are kept for each worker */

struct output;

/* Starts to follow a worker's output. @path: the file; if it exists already, continues at the
 * stored position. @prefix: goes before each line, NULL = none. @cgroup: a directory descriptor of
 * the worker's cgroup, for the freezer, which must stay open; -1 = none. All outputs of a process
 * use the same @loop. Returns 0 or a negative errno. */
int output_new(sd_event *loop, const char *path, const char *prefix, int cgroup,
               struct output **ret, struct error *err);

/* The descriptor for the worker, open for appending. Owned by @output. */
int output_worker_fd(const struct output *output);

/* To be called when the worker has ended: writes everything in the file, also an unfinished last
 * line. The event loop writes what our standard output doesn't accept now, even after
 * output_free(). */
void output_finish(struct output *output);

/* Returns the last whole lines, at most OUTPUT_TAIL_MAX bytes with the final NUL; "" if there are
 * none. Valid until the next call. */
const char *output_tail(struct output *output);

/* Stops following the output. @remove: also removes the file; after output_finish() only when all
 * of it has been written. NULL is fine. */
void output_free(struct output *output, bool remove);

/* Whether freed outputs are still being written. Before it exits, a process runs the event loop
 * until this is false, or calls output_abandon(), which drops the rest. */
bool output_is_pending(void);
void output_abandon(void);
