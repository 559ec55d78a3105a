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
	HELD_CHILD_REFUSED, /* no child can be started, or it was killed by others, or too many that
	                       called @run have not ended */
};

struct held_child_call {
	void (*run)(void *data);
	int keep[2]; /* these descriptors are open in the child, and no other one; -1 = none */
	size_t max;  /* of the children with the same @run that may be held */
	const uint32_t *pid; /* in the data: the process that @run needs just now; or NULL */
	bool is_long; /* @run may take any time as long as it goes on: not for an event loop */
};

/* Calls @call->run in a child, while we wait. The @size bytes of @data are shared: what the child
 * changes there is seen here afterwards, also if it is stuck, and nothing else is. What it opens,
 * it need not close: that is done when we go on.
 *
 * Children that are stuck with the same process again and again are waited for less and less. */
enum held_child_result held_child_run(const struct held_child_call *call, void *data, size_t size);

/* Forgets children that have ended by now, and what they waited for. Not in a child. */
void held_child_reap(void);

/* Whether a child still waits for the process. */
bool held_child_waits_for(uint32_t pid);
