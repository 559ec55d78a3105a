/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * RPD_LEAST_CONNECTIONS: the turn goes to the worker with the fewest connections for its weight, of
 * the one that the ring names and the next ones. The ring decides on the version, so versions and
 * canaries keep their shares exactly; the load decides on the worker. Workers with equal loads take
 * their turns, as with round robin.
 *
 * A few workers are nearly as good as all: the best of three turns leaves little to gain, costs the
 * same for any number of workers, and does not send each connection of a burst to the same worker.
 */
#pragma once

#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include "shared_maps.h"
#include "steer_look.h"
#include "steer_pick.h"
#include "steer_search.h"

/* How many ring entries to look at for other workers. Entries of other versions lie in between. */
#define STEER_LEAST_AHEAD 16

/* The load without the handshakes under way. */
static __always_inline struct pick_load steer_least_open(const struct rpd_schedule *sched,
                                                         __u32 slot)
{
	const struct rpd_slot *it = &sched->slots[slot & (RPD_SLOT_MAX - 1)];
	__u32 account = it->generation * RPD_SLOT_MAX + slot;
	struct rpd_load *load = bpf_map_lookup_elem(&loads, &account);

	return (struct pick_load){load && load->open > 0 ? load->open : 0, it->weight};
}

enum { LEAST_OTHER_VERSION = -2, LEAST_NOT_LESS = -1 };

/*
 * Compares the worker of ring entry @entry with the selected one, @best, which has @connections. If
 * it has less load, selects it, and returns its connections.
 *
 * Handshakes can be read of a selected listener only. So a worker that has too many open
 * connections in any case is not selected, and a worker that turns out to have too many with its
 * handshakes gives way to @best again.
 */
__attribute__((noinline)) int steer_least_compare(struct sk_reuseport_md *ctx, __u32 entry,
                                                  __u32 best, __u32 connections)
{
	struct rpd_schedule *sched = steer_find_schedule();
	struct pick_load least, load;
	__u32 slot;

	if (!ctx || !sched)
		return LEAST_NOT_LESS;
	slot = sched->ring[entry & (RPD_RING_MAX - 1)];
	if (!steer_is_alike(sched, slot, best))
		return LEAST_OTHER_VERSION;
	least = (struct pick_load){connections, sched->slots[best & (RPD_SLOT_MAX - 1)].weight};
	load = steer_least_open(sched, slot);
	if (!steer_pick_is_less(&load, &least) || !steer_select(ctx, slot))
		return LEAST_NOT_LESS;
	load.connections += look_pending(ctx);
	if (!steer_pick_is_less(&load, &least) && steer_select(ctx, best))
		return LEAST_NOT_LESS;
	return (int)load.connections;
}

/* Selects the worker for the turn of ring entry @at, whose own worker is selected. Returns its
 * slot. */
__attribute__((noinline)) int steer_least(struct sk_reuseport_md *ctx, __u32 at)
{
	struct rpd_schedule *sched = steer_find_schedule();
	__u32 best, connections, compared = 1;

	if (!ctx || !sched)
		return -1;
	best = sched->ring[at & (RPD_RING_MAX - 1)];
	connections = steer_least_open(sched, best).connections + look_pending(ctx);
	for (__u32 i = 1; i < STEER_LEAST_AHEAD; i++) {
		__u32 entry = at + i;
		int less;

		if (i >= sched->ring_len || compared >= sched->choices)
			break;
		if (entry >= sched->ring_len)
			entry -= sched->ring_len;
		less = steer_least_compare(ctx, entry, best, connections);
		compared += less != LEAST_OTHER_VERSION;
		if (less < 0)
			continue;
		best = sched->ring[entry & (RPD_RING_MAX - 1)];
		connections = less;
	}
	return best;
}
