/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * args_load() in a child process, for a caller that must not wait: the child reads files, evaluates
 * modules and looks up users.
 */
#pragma once

#include "config/args.h"

struct load_child;

enum load_child_progress {
	LOAD_CHILD_MORE = 1, /* the child is still at work */
};

/* Starts the child. It ends with this process. Returns 0, or a negative errno with @err set. */
int load_child_start(const struct args *args, struct load_child **ret, struct error *err);

/* The descriptor that becomes readable when there is something for load_child_read(). */
int load_child_fd(const struct load_child *child);

/* Takes a limited amount of what has come, without waiting. Returns LOAD_CHILD_MORE, 0 when all has
 * come, or a negative errno. */
int load_child_read(struct load_child *child);

/* After load_child_read() has returned 0: returns what args_load() has returned, with the same *ret
 * and @err. */
int load_child_result(const struct load_child *child, struct load_result *ret, struct error *err);

/* Kills the child, and the processes that it has started, if they still run. The caller's process
 * has to reap its children. NULL is allowed. */
void load_child_free(struct load_child *child);
