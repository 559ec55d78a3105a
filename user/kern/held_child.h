/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an untrusted process can make last for ever is left to a child, which the kernel may then
 * hold as long as it likes: closing a file of a FUSE server, or waiting for a lock of the kernel
 * that a process keeps while such a server does not answer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum held_child_result {
	HELD_CHILD_DONE,
	HELD_CHILD_STUCK,   /* @run sleeps: the child is killed, and may never end */
	HELD_CHILD_REFUSED, /* no child can be started, or too many that called @run have not ended
	                     */
};

/* Calls @run in a child, while we wait, with a copy of descriptor @keep (-1 = none) and no other
 * one. The @size bytes of @data are shared: what @run changes there is seen here afterwards, also
 * if it is stuck, and nothing else is. What @run opens, it need not close: that is done when we go
 * on.
 * @max: of the children that may be held. */
enum held_child_result held_child_run(int keep, void (*run)(void *data), void *data, size_t size,
                                      size_t max);

/* Notes that the child that was stuck last waits for process @pid. */
void held_child_note_cause(uint32_t pid);

/* Forgets children that have ended by now, and what they waited for. Not in a child. */
void held_child_reap(void);

/* Whether a child still waits for the process. */
bool held_child_waits_for(uint32_t pid);
