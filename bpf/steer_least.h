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

/*
 * Selects the worker for the turn of ring entry @at, whose own worker is selected. Returns its
 * slot, or -1 if it has no listener any more. Handshakes are read of a selected listener only, so a
 * worker that already has too many open connections is not selected.
 */
__attribute__((noinline)) int steer_least(struct sk_reuseport_md *ctx, __u32 at)
{
	struct rpd_schedule *sched = steer_find_schedule();
	struct pick_load least, load;
	__u32 turn, best, selected, compared = 1;

	if (!ctx || !sched)
		return -1;
	turn = best = selected = sched->ring[at & (RPD_RING_MAX - 1)];
	least = steer_least_open(sched, turn);
	least.connections += look_pending(ctx);
	for (__u32 i = 1; i < STEER_LEAST_AHEAD && i < sched->ring_len; i++) {
		__u32 next = at + i < sched->ring_len ? at + i : at + i - sched->ring_len;
		__u32 slot = sched->ring[next & (RPD_RING_MAX - 1)];

		if (compared >= sched->choices)
			break;
		if (slot == best || !steer_is_alike(sched, slot, turn))
			continue;
		compared++;
		load = steer_least_open(sched, slot);
		if (!steer_pick_is_less(&load, &least) || !steer_select(ctx, slot))
			continue;
		selected = slot;
		load.connections += look_pending(ctx);
		if (!steer_pick_is_less(&load, &least))
			continue;
		best = slot;
		least = load;
	}
	return selected == best || steer_select(ctx, best) ? (int)best : -1;
}
