/* SPDX-License-Identifier: BSD-2-Clause */
/* Proof of drain: waits until nothing is left of some workers' connections. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/slots.h"
#include "service/connections.h"
#include "service/observe.h"
#include "service/service.h"

/* What is left, of all the slots together. */
struct drain_wait_left {
	uint64_t handshakes; /* under way */
	uint64_t queued;     /* established, not accepted yet; they are among the active */
	uint64_t active;     /* established, not closed */
	/* The same, open since before attach, and maybe another worker's (service/conn_adopt.h). */
	uint64_t unattributed;
};

struct drain_wait_request {
	struct slots slots;
	double timeout; /* seconds */
	bool close_remaining;
	/* Is told what is left, several times a second. */
	void (*progress)(const struct drain_wait_left *left, double seconds, void *data);
	void *data;
};

struct drain_wait_result {
	bool empty;
	double seconds; /* it took */
	struct drain_wait_left left;
	/* Those that are left, or were when they were closed. */
	struct connections remaining;
	size_t n_closed;
};

#define _cleanup_drain_wait_ __attribute__((cleanup(drain_wait_free)))

/* Fails if that can't be found out, because connections are not counted; changes nothing. */
int drain_wait_check(const struct service *service, const struct observed *observed,
                     const struct slots *slots, struct error *err);

/*
 * Waits, without the service's lock, until the slots' present workers have no handshake under way,
 * nothing in an accept queue and no open connection, or until the time is over; then, with
 * close_remaining, resets what is left. The slots have to be out of the ring already.
 */
int drain_wait(struct service *service, const struct observed *observed,
               const struct drain_wait_request *request, struct drain_wait_result *ret,
               struct error *err);

void drain_wait_free(struct drain_wait_result *result);
