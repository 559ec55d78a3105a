/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The roster of one port: who are the workers, given the listeners of the port and the processes
 * that have them open. A pure function of what sockdiag and proc found.
 *
 * A listener's owner is the process that serves it (roster_owner). The listeners of one owner in
 * one endpoint, in the order of its descriptors, are its first, second, ... there; the first of
 * every endpoint make one worker, the second ones another. So eight processes with one listener
 * each in 0.0.0.0 and in [::] are eight workers, and so is one process with eight threads and
 * eight listeners in each. Ports are not paired with each other: split by port before, and build
 * one roster for each.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/listener.h"

/* One reuseport group. */
struct roster_group {
	struct rpd_endpoint endpoint;
	size_t n_listeners;
	size_t n_unowned; /* listeners that no process is known to have open: of no worker */
	/* The most processes that serve one and the same listener. Above 1 it is a shared listener,
	 * and steering to it does not choose a process. */
	unsigned int n_pollers;
};

struct roster_worker {
	struct holder owner; /* its descriptors are those for its listener in the first group */
	/* For each group the index of its listener in the array that roster_build() was given, or
	 * -1. */
	int32_t *listeners;
};

struct roster {
	struct roster_group *groups; /* by endpoint_compare() */
	size_t n_groups;
	struct roster_worker *workers; /* oldest first; then by descriptor, then by pid */
	size_t n_workers;
	int32_t *matrix; /* what workers[].listeners point into */
};

/* The holders of the listener @inode: a run of @rows, which are in the order of their inodes. */
const struct holder *roster_holders_of(const struct holder *rows, size_t n, uint32_t inode,
                                       size_t *ret_n);

/*
 * Of the holders of one listener, the process that serves it: the one with the best evidence;
 * among equals one whose child is not among them (pre-fork parents keep what their children
 * serve), then the oldest, then the lowest pid. NULL if @n is 0.
 */
const struct holder *roster_owner(const struct holder *rows, size_t n);

/*
 * How many of the holders of one listener serve it: those with the best evidence, or, if nothing
 * better is known than that they hold it, those whose child is not among them.
 */
unsigned int roster_pollers(const struct holder *rows, size_t n);

/*
 * Builds the roster of one port. Neither the order of @listeners nor that of @holders matters;
 * holders of other listeners are ignored. 0 or -ENOMEM; the caller frees with roster_free().
 */
int roster_build(const struct listener *listeners, size_t n_listeners, const struct holder *holders,
                 size_t n_holders, struct roster *ret);

/* Frees what the roster owns; accepts a zeroed one. */
void roster_free(struct roster *r);
