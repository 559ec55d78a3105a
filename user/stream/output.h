/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What workers print. Each writes, by O_APPEND, to a file of its own in the run directory (memory:
 * /run is a tmpfs), which we follow, pass on and punch out behind us. So a worker never waits for
 * us, gets no SIGPIPE, and loses no line when we die: the next supervisor goes on where this one
 * was. A pipe would block the workers, or kill them, once its reader is gone.
 *
 * Lines are passed on whole, those of different workers never mixed in one; one that is longer than
 * OUTPUT_LINE_MAX in pieces, as a line each. A last line without an end is passed on when its
 * worker has ended. A worker that writes faster than our standard output takes it is frozen
 * (cgroup.freeze) while more than OUTPUT_BEHIND_MAX bytes wait.
 *
 * Nothing here waits for our standard output: the loop passes on what it didn't take at once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/error.h"

#define OUTPUT_LINE_MAX   65536 /* without its end */
#define OUTPUT_BEHIND_MAX (64u << 20)
#define OUTPUT_TAIL_MAX   4096 /* bytes of the last lines that are kept of each worker */

struct output;

/* @path: the file, made if it isn't there, else gone on with. @prefix: in front of each line, NULL
 * = nothing. @cgroup: directory descriptor of the worker's cgroup for the freezer, which must stay
 * open, or -1. All of a process are on the same @loop. Returns 0 or a negative errno. */
int output_new(sd_event *loop, const char *path, const char *prefix, int cgroup,
               struct output **ret, struct error *err);

/* For the worker: open for appending. Owned by @output. */
int output_worker_fd(const struct output *output);

/* The worker has ended: all that is there is to be passed on, the unfinished line included. What
 * our standard output doesn't take now the loop passes on, also after output_free(). */
void output_finish(struct output *output);

/* The last lines, whole, at most OUTPUT_TAIL_MAX bytes, with the final NUL; "" if none. Valid until
 * the next call. */
const char *output_tail(struct output *output);

/* Stops following. @remove: and removes the file, after output_finish() not before all of it has
 * been passed on. NULL is fine. */
void output_free(struct output *output, bool remove);

/* Whether there is some left that output_free() let go on: who ends runs the loop until there
 * isn't, or gives it up. */
bool output_is_pending(void);
void output_abandon(void);
