/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a service at one moment: the listeners of its groups, the worker in each slot, and
 * the foreign listeners. Filled in by observe().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/listener.h"
#include "core/process.h"
#include "kern/steer_members.h"

struct observed_slot {
	struct rpd_worker *worker; /* the slot's row; of a dead worker too */
	struct process main; /* the main process; of an attached worker: the listener's owner */
	uint64_t cookies[RPD_ENDPOINT_MAX]; /* the listeners that are in force, 0 = none */
	bool live;                          /* one of the cookies is not 0 */
	bool there;   /* a worker is in the slot: live, or kept by `run` without a listener */
	bool stalled; /* live, but no process serves the listener */
};

/* A listener in one of the groups that is in no slot. */
struct observed_foreign {
	unsigned int endpoint;
	const struct listener *listener;
	struct holder owner; /* pid 0 = no process is known to have it open */
	bool former;         /* it was in a slot, and another listener has replaced it */
	bool alone;          /* no admitted worker listens in its group any more */
};

struct observed {
	struct listener *listeners; /* of all groups of the service, by cookie */
	size_t n_listeners;
	struct observed_slot *slots;
	struct rpd_worker *workers; /* the rows of the slots */
	unsigned int n_slots;
	struct rpd_group_member *groups; /* of groups_read(), NULL = not known */
	size_t n_groups;
	struct steer_members members; /* listeners that are or were in slots, or park */
	struct observed_foreign *foreign;
	size_t n_foreign;
	struct holder *holders; /* of the foreign listeners, once observe_foreign() has run */
	size_t n_holders;
	unsigned int n_parked; /* connections in the queues of the supervisor's listeners */
};

#define _cleanup_observed_ __attribute__((cleanup(observed_free)))

/* Orders the listeners by their cookies: observed_listener() needs that. */
void observed_sort_listeners(struct observed *o);

/* The listener of this cookie, or NULL. */
const struct listener *observed_listener(const struct observed *o, uint64_t cookie);

/* Whether a listener of the slot has this cookie, which is not 0. */
bool observed_is_in_slot(const struct observed *o, unsigned int slot, uint64_t cookie);

/* The slot that has the listener of this cookie, or -1. */
int observed_slot_of(const struct observed *o, uint64_t cookie);

/* Whether an admitted worker listens in the group. */
bool observed_has_worker(const struct observed *o, unsigned int endpoint);

void observed_free(struct observed *o);
