/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load on a bed: threads, each on a CPU, that connect without pause, and a server thread that
 * answers them all. A connection counts as done when its client has the answer, so one that is
 * accepted late or never does not count.
 */
#pragma once

#include "steering/bed.h"

struct load_plan {
	unsigned int threads;
	unsigned int each; /* connections of a thread, 0 = until load_stop() */
	/* If both are set, clients choose the family at random. */
	bool v4, v6;
	unsigned int v4_endpoint, v6_endpoint;
};

/* IPv4 to endpoint 0, from four threads. */
#define LOAD_V4(n) (&(struct load_plan){.threads = 4, .each = (n), .v4 = true})

/* Starts the bed's only load. */
void load_start(struct bed *bed, const struct load_plan *plan);

/* Connections that are done. */
unsigned int load_done(const struct bed *bed);

/* Waits until @n more are done. */
void load_wait(const struct bed *bed, unsigned int n);

/* Clients begin connections with the next mark (socket_address_mark()) from now on. Returns it: 1,
 * 2, ... */
unsigned int load_mark(struct bed *bed);

/* Waits until no client has a connection that it began before @mark. Must not be called if
 * plan.each is set. */
void load_pass(const struct bed *bed, unsigned int mark);

/* Ends the load, or waits for its end if plan.each is set. Fails the case if a connection failed,
 * or if more were accepted than are done. Returns how many are done. */
unsigned int load_stop(struct bed *bed);

/* load_start() and load_stop(). */
unsigned int load_run(struct bed *bed, const struct load_plan *plan);

/* Ends the load of a case that failed. */
void load_abort(struct load *load);
