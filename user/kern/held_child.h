/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing a file of an untrusted process can take for ever: a FUSE server need not answer. It is
 * left to a child, which the kernel may then hold as long as it likes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Calls @run in a child that shares our memory, while we wait, with a copy of descriptor @keep and
 * no other one. What @run opens, it need not close: that is done when the child has left our memory
 * and we go on. @run must not wait, and not close what may take long. Returns false if no child can
 * be started, or if @max children have not ended yet. */
bool held_child_run(int keep, void (*run)(void *data), void *data, size_t max);
