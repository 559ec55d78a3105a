/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of an endpoint: when an address of a worker becomes the service's, how long connections
 * wait there while no worker listens, and when it is gone. Pure: supervise/endpoints.c reports what
 * is seen, and carries out the answer.
 *
 * An endpoint is the service's if the configuration names it, or if most workers listen there. The
 * address of a single worker (a debug port, a port that is used as a lock) is that worker's own.
 */
#pragma once

#include <stdbool.h>

enum endpoint_life {
	ENDPOINT_CANDIDATE, /* no endpoint of the service: the address of some worker */
	ENDPOINT_SERVED,    /* a worker in a slot listens there, and connections are steered */
	ENDPOINT_ORPHANED,  /* no worker in a slot listens there: connections wait */
	ENDPOINT_GONE,      /* no longer the service's: to be removed */
};

/* What is seen of one endpoint. */
struct endpoint_seen {
	bool named; /* by the configuration */
	/* That listen anywhere, and are in slots, with the worker that gets its slot now. */
	unsigned int workers;
	unsigned int listening; /* of these, listen there */
	/* Of these, had a listener there that was admitted. Such a worker may listen again, or is
	 * unhealthy: it does not change whether the endpoint is the service's. */
	unsigned int closed;
	bool awaited;    /* a worker that is starting listens there */
	bool was_served; /* at some time */
	bool covered;    /* another served endpoint gets its connections if it is closed */
	bool reloading;  /* a reload is in progress, and may return old workers to their slots */
	bool dropped;    /* a reload has just ended, with the workers that listened there */
	bool overdue;    /* no worker has listened there for the park timeout */
};

/* Returns what becomes of an endpoint in @state, which is not ENDPOINT_GONE. */
enum endpoint_life endpoint_life_next(enum endpoint_life state, const struct endpoint_seen *seen);
