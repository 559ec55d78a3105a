/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Putting a worker's listeners into a slot: the one way into a service, for attach, swap and
 * watch.
 */
#pragma once

#include "base/error.h"
#include "core/listener.h"
#include "core/process.h"
#include "service/service.h"

/* Why an MPTCP socket is refused, and what to do. */
#define ADMIT_NO_MPTCP                                                                             \
	"MPTCP sockets can't be steered; listen with plain TCP (Go: GODEBUG=multipathtcp=0)"

/* A worker to be admitted: who it is, and its listener in each endpoint of the service. */
struct newcomer {
	struct holder owner;
	struct process main; /* that the supervisor has started; id.pid 0 = none was */
	const struct listener *listeners[RPD_ENDPOINT_MAX]; /* NULL = none there */
	/* Which descriptor of which process to duplicate for each; the owner's own where it has
	 * the listener open itself. */
	int32_t fds[RPD_ENDPOINT_MAX];
};

/*
 * Puts the newcomer into @slot, in place of whoever is there, and, in a service that is complete,
 * makes sure that the program is attached to its groups. First borrows all its listeners, so that
 * it fails before anything is changed; then writes the slot's row, so that a command killed after
 * that is completed by the next one. The schedule is the caller's business.
 *
 * -EBUSY: one of the listeners is in a slot already, of this or another service.
 */
int admit(struct service *service, unsigned int slot, const struct newcomer *newcomer,
          uint8_t version, struct error *err);
