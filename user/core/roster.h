/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The roster: the workers of one port, found from its listeners and the processes that have them
 * open. A pure function of the results of sockdiag and proc_holders.
 *
 * A listener's owner is the process that serves it (roster_find_owner()). The listeners of one
 * owner in one endpoint are numbered in the order of its descriptors. The first listeners of all
 * endpoints make one worker, the second ones another, and so on. So eight processes with a listener
 * each on 0.0.0.0 and on [::] are eight workers, and so is one process with eight threads and eight
 * listeners on each. Listeners of different ports are not combined: the caller builds one roster
 * for each port.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/listener.h"

/* One reuseport group. */
struct roster_group {
	struct rpd_endpoint endpoint;
	size_t n_listeners;
	size_t n_unowned; /* listeners that belong to no worker: no known process has them open */
	/* The largest number of processes that serve the same listener. Above 1 the listener is
	 * shared, and steering to it does not choose a process. */
	unsigned int n_pollers;
};

struct roster_worker {
	struct holder owner; /* with the descriptors of its listener in the first group */
	/* For each group the index of its listener in the array @listeners of roster_build(), or
	 * -1. */
	int32_t *listeners;
};

struct roster {
	struct roster_group *groups; /* by endpoint_compare() */
	size_t n_groups;
	struct roster_worker *workers; /* oldest first; then by descriptor, then by pid */
	size_t n_workers;
	int32_t *matrix; /* the memory of workers[].listeners */
};

/* Compares two holders by inode and pid, for qsort(). */
int roster_compare_holders(const void *a, const void *b);

/* Finds the holders of the listener @inode: a run of @rows, which must be in the order of their
 * inodes. */
const struct holder *roster_find_holders(const struct holder *rows, size_t n, uint32_t inode,
                                         size_t *ret_n);

/*
 * Finds the process that serves a listener among all its holders: the holder with the best
 * evidence. Among equals it is a process without a child among them (a pre-fork parent keeps the
 * listeners that its children serve), then the oldest, then the lowest pid. NULL if @n is 0.
 */
const struct holder *roster_find_owner(const struct holder *rows, size_t n);

/*
 * Counts the holders of one listener that serve it: all with the best evidence. If no more is known
 * than that they hold the listener, those without a child among them.
 */
unsigned int roster_count_pollers(const struct holder *rows, size_t n);

/*
 * Builds the roster of one port. The order of @listeners and @holders doesn't matter; holders of
 * other listeners are ignored. Returns 0 or -ENOMEM; the caller frees *ret by roster_free().
 */
int roster_build(const struct listener *listeners, size_t n_listeners, const struct holder *holders,
                 size_t n_holders, struct roster *ret);

/* Frees the memory of a roster; a zeroed roster is fine. */
void roster_free(struct roster *r);
