/* SPDX-License-Identifier: BSD-2-Clause */
/* Drain proof: waits until workers have no connection left. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/slots.h"
#include "service/connections.h"
#include "service/observed.h"
#include "service/service.h"

/* The connections that are left, of all the slots together. */
struct drain_wait_left {
	uint64_t handshakes; /* under way */
	uint64_t queued;     /* established, not accepted yet; included in active */
	uint64_t active;     /* established, not closed */
	/* Open since before attach, maybe of another worker (service/conn_adopt.h). */
	uint64_t unattributed;
};

struct drain_wait_request {
	struct slots slots;
	double timeout; /* seconds */
	bool close_remaining;
	/* Called several times a second. NULL: not at all. */
	void (*progress)(const struct drain_wait_left *left, double seconds, void *data);
	void *data;
};

struct drain_wait_result {
	bool empty;
	double seconds; /* how long the wait took */
	struct drain_wait_left left;
	/* The connections that were left at the end of the time, before any was reset. */
	struct connections remaining;
	size_t n_closed; /* how many of `remaining` were reset */
};

#define _cleanup_drain_wait_ __attribute__((cleanup(drain_wait_free)))

/* Whether it can be known when these slots are empty: not if some connections are not counted.
 * Changes nothing. Returns 0, or a negative errno with @err set. */
int drain_wait_check(const struct service *service, const struct observed *observed,
                     const struct slots *slots, struct error *err);

/*
 * Releases the service's lock and waits until the present workers of the slots have no handshake
 * under way, nothing in an accept queue and no open connection, or until the time is over. Then,
 * with close_remaining, resets the connections that are left. The slots must be out of the ring
 * already. Returns 0 also if the time was over, or a negative errno with @err set. The caller frees
 * @ret with drain_wait_free().
 */
int drain_wait(struct service *service, const struct observed *observed,
               const struct drain_wait_request *request, struct drain_wait_result *ret,
               struct error *err);

void drain_wait_free(struct drain_wait_result *result);
