/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is really there: the listeners of the service's groups, who serves them, who is a stranger.
 * Compared with what is meant to be there, which is repaired where a killed command left the two
 * apart.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/listener.h"
#include "service/service.h"
#include "kern/proc.h"

/* One slot. */
struct observed_slot {
	struct rpd_worker worker; /* who is in it; of a dead one, who was */
	struct process main;      /* its main process; of a worker that was attached the owner */
	uint64_t cookies[RPD_ENDPOINT_MAX]; /* the listeners that are in force, 0 = none */
	bool live;                          /* some of them is not 0 */
	bool there; /* a worker is in it: live, or up and one that `run` keeps without a listener */
	bool stalled; /* live, but nobody serves the listener */
};

/* A member of one of the groups that is in no slot. */
struct observed_stranger {
	unsigned int endpoint;
	const struct listener *listener;
	struct holder owner; /* pid 0 = no process is known to have it open */
	bool retired;        /* it was in a slot, and was swapped out */
	bool alone;          /* no admitted worker listens in its group any more */
};

struct observed {
	struct listener *listeners; /* of all groups of the service, by cookie */
	size_t n_listeners;
	struct holder *holders; /* of the strangers; observe_strangers() looks them up */
	size_t n_holders;
	struct observed_slot *slots;
	unsigned int n_slots;
	struct observed_stranger *strangers;
	size_t n_strangers;
	unsigned int n_parked; /* connections in the queues of the supervisor's listeners */
};

/*
 * Who serves a listener is known for sure only of a process that was seen to poll it. Of others, a
 * pre-fork parent that has just begun to listen say, another look may tell more; but it scans all
 * processes.
 */
enum observe_depth {
	OBSERVE_KNOWN, /* take the recorded process for the worker as long as it has the listener */
	OBSERVE_UNCLEAR, /* look again where it was never seen to poll */
};

#define _cleanup_observed_ __attribute__((cleanup(observed_free)))

/*
 * Looks at the service. With the lock held, so it also completes or takes back a swap that was
 * killed half way, and notes new owners of listeners (a pre-fork parent replaced a dead child).
 */
int observe(struct service *service, enum observe_depth depth, struct observed *ret,
            struct error *err);

/* Fills in the strangers' owners. Scans all processes, if there are strangers, and holds those up
 * that poll their listeners (kern/proc.h): not for a timer. */
int observe_strangers(struct observed *o, struct error *err);

/* The listener of this cookie, or NULL. */
const struct listener *observed_listener(const struct observed *o, uint64_t cookie);

/* Whether the listener of this cookie, which is not 0, is the slot's in one of the endpoints. */
bool observed_is_in_slot(const struct observed *o, unsigned int slot, uint64_t cookie);

/* Index of the service's endpoint that the listener is a member of, or -1. */
int observed_endpoint(const struct service *service, const struct listener *listener);

void observed_free(struct observed *o);
