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

/* Forks a child, which is killed when this process or the case ends. It has no descriptor of this
 * process, above all none of a listener, whose queue would not migrate then; except @keep, if not
 * -1, as its standard input. */
pid_t run_worker_fork(int keep);

/* Starts a worker, of the endpoints' user, that listens on the endpoints whose bits are set, and
 * finds its listeners. */
void run_worker_start(unsigned int endpoints, struct run_worker *ret);

/* Starts a worker on all endpoints, puts it into the slot, and hands parked connections over.
 * Returns how many. */
int run_worker_admit(unsigned int slot, struct run_worker *ret);

/* Kills a child, and waits for its end. */
void run_worker_kill(pid_t pid);

void run_worker_kill_all(void);
