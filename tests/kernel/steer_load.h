/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients that connect without pause from threads of their own, each on a CPU, and a server thread
 * that answers them all. A connection counts as done when its client has the answer, so nothing
 * that is accepted late or never is taken for a success.
 */
#pragma once

#include "steer_bed.h"

struct load_plan {
	unsigned int threads;
	unsigned int each; /* connections of a thread, 0 = until load_stop() */
	/* Clients choose the family at random, if both are given. */
	bool v4, v6;
	unsigned int v4_endpoint, v6_endpoint;
};

/* IPv4 to endpoint 0, from four threads. */
#define LOAD_V4(n) (&(struct load_plan){.threads = 4, .each = (n), .v4 = true})

/* Starts them; the bed's only load. */
void load_start(struct bed *bed, const struct load_plan *plan);

/* Connections that were done. */
unsigned int load_done(const struct bed *bed);

/* Waits until @n more were. */
void load_wait(const struct bed *bed, unsigned int n);

/* From now on clients begin with the next mark (address_mark()), which is returned: 1, 2, ... */
unsigned int load_mark(struct bed *bed);

/* Waits until no client is at a connection that it began before @mark. Not if plan.each is given.
 */
void load_pass(const struct bed *bed, unsigned int mark);

/* Ends the load, or waits for its end if plan.each is given. No connection may have failed, and
 * none may have been accepted but those that were done. Returns how many were done. */
unsigned int load_stop(struct bed *bed);

/* load_start() and load_stop(). */
unsigned int load_run(struct bed *bed, const struct load_plan *plan);

/* For the end of a case that failed. */
void load_abort(struct service_stats *load);
