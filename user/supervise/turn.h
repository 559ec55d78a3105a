/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The turn of one service in the loop of the process. Each service has an event loop of its own,
 * and handles its events in its turn, under its lock. The process never waits for a lock: while
 * another process has it, the service stands still, and its events stay pending. Other services go
 * on.
 */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

enum turn_result {
	TURN_IDLE,  /* nothing was due */
	TURN_TAKEN, /* some events have been handled; more may be due */
	TURN_WAITS, /* for the lock: try again in TURN_RETRY_MS */
};

#define TURN_RETRY_MS 50

/*
 * Starts the service, if it has not been started; else handles events that are due, or ends the
 * service. A service that is being stopped doesn't wait for the lock, except to remove its pins,
 * and for that not for long.
 *
 * Returns an enum turn_result; or a negative errno with @err set: the service could not be started,
 * or its event loop has failed.
 */
int turn_take(struct supervisor *sup, struct error *err);

/* Whether no event of the service can be handled before it has the lock, or ever. */
bool turn_stands_still(const struct supervisor *sup);
