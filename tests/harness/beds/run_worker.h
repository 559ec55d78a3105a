/* SPDX-License-Identifier: BSD-2-Clause */
/* Workers of run_service: processes that answer a line with the number of bytes they have read. */
#pragma once

#include <sys/types.h>

#include "beds/run_service.h"
#include "service/admit.h"

struct run_worker {
	pid_t pid;
	struct holder owner;
	struct listener listeners[RPD_ENDPOINT_MAX];
	struct newcomer newcomer; /* points into the above */
};

/* Forks a child, which is killed when this process or the case ends. It inherits no descriptor,
 * except @keep (if not -1) as its standard input: the queue of a listener does not migrate while a
 * child has the listener open. */
pid_t run_worker_fork(int keep);

/* Starts a worker, of the endpoints' user, and finds its listeners. @endpoints: a bit for each
 * endpoint that it listens on. */
void run_worker_start(unsigned int endpoints, struct run_worker *ret);

/* Starts a worker on all endpoints, puts it into the slot, and hands parked connections over.
 * Returns how many. */
int run_worker_admit(unsigned int slot, struct run_worker *ret);

/* Kills a child, and waits for its end. */
void run_worker_kill(pid_t pid);

void run_worker_kill_all(void);
