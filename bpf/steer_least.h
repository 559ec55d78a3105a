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

/* A worker that has just been admitted has the fewest connections of all. So that not every new one
 * goes to it, it is young at first: it takes no turn of a grown worker, and in its own turns it
 * counts with a part of its weight only. */
static __always_inline __u64 steer_least_growth(const struct rpd_schedule *sched, __u32 slot)
{
	struct rpd_worker *worker;

	if (!sched->slow_start)
		return PICK_GROWN;
	worker = schedule_find_worker(sched, slot);
	return steer_pick_growth(worker ? bpf_ktime_get_ns() - worker->admitted_ns : 0,
	                         (__u64)sched->slow_start << RPD_TICK_LOG);
}

/* A worker without an account (RPD_ACCOUNT_NONE) has its own turns, and no other. */
static __always_inline bool steer_least_is_counted(const struct rpd_schedule *sched, __u32 slot)
{
	return sched->slots[slot & (RPD_SLOT_MAX - 1)].generation < RPD_ACCOUNT_GENERATIONS;
}

/* The connections of the slot's worker, without the handshakes under way. Those that it has reset
 * count for some time: a worker that can serve nobody has no open ones, and would get the most. */
static __always_inline __u32 steer_least_open(const struct rpd_schedule *sched, __u32 slot)
{
	__u32 account = sched->slots[slot & (RPD_SLOT_MAX - 1)].generation * RPD_SLOT_MAX + slot;
	struct rpd_load *load = bpf_map_lookup_elem(&loads, &account);
	__u32 open;

	if (!load)
		return 0;
	open = load->open > 0 ? load->open : 0;
	if (load->resets)
		open += steer_pick_resets(load->resets,
		                          bpf_ktime_get_coarse_ns() >> RPD_RESET_TICK_LOG);
	return open;
}

static __always_inline struct pick_load steer_least_load(const struct rpd_schedule *sched,
                                                         __u32 slot, __u32 connections)
{
	return (struct pick_load){connections, sched->slots[slot & (RPD_SLOT_MAX - 1)].weight,
	                          steer_least_growth(sched, slot)};
}

/* A search for the least load. It is in memory, of which the verifier knows nothing: so it checks
 * the loop in no time. */
struct steer_least_search {
	struct pick_load least; /* of the best worker so far: its listener is selected */
	__u32 best;             /* its slot */
	__u32 turn;             /* the slot that has the turn */
	__u32 entry;            /* of the ring, that was compared last */
	__u32 others;           /* how many workers are still to be compared */
	__u64 seen;             /* bit n: a slot with slot % 64 == n was compared */
};

/*
 * Selects the slot's worker, which has less load than the best one unless its handshakes count.
 * These can be read of a selected listener only. If it then has too many, it gives way to the best
 * one again.
 */
__attribute__((noinline)) int steer_least_take(struct sk_reuseport_md *ctx,
                                               const struct rpd_schedule *sched,
                                               struct steer_least_search *it, __u32 slot)
{
	struct pick_load load;

	if (!ctx || !sched || !it || !steer_select(ctx, sched, slot))
		return 0;
	load = steer_least_load(sched, slot, steer_least_open(sched, slot) + look_pending(ctx));
	if (!steer_pick_is_less(&load, &it->least) && steer_select(ctx, sched, it->best))
		return 0;
	it->best = slot;
	it->least = load;
	return 0;
}

/* Compares the worker of the next ring entry, and selects it if it has less load. */
static __always_inline void steer_least_compare(struct sk_reuseport_md *ctx,
                                                const struct rpd_schedule *sched,
                                                struct steer_least_search *it)
{
	struct pick_load load;
	__u32 slot;

	it->entry = it->entry + 1 < sched->ring_len ? it->entry + 1 : 0;
	slot = sched->ring[it->entry & (RPD_RING_MAX - 1)];
	if (it->seen >> (slot % 64) & 1 || !steer_is_alike(sched, slot, it->turn) ||
	    !steer_least_is_counted(sched, slot))
		return;
	it->seen |= 1ull << (slot % 64); /* the ring names a heavy worker often */
	it->others--;
	load = steer_least_load(sched, slot, steer_least_open(sched, slot));
	if (steer_pick_is_less(&load, &it->least))
		steer_least_take(ctx, sched, it, slot);
}

__attribute__((noinline)) int steer_least_search(struct sk_reuseport_md *ctx,
                                                 const struct rpd_schedule *sched,
                                                 struct steer_least_search *it)
{
	if (!ctx || !sched || !it)
		return 0;
	for (__u32 i = 1; i < STEER_LEAST_AHEAD && i < sched->ring_len && it->others; i++) {
		steer_least_compare(ctx, sched, it);
		asm volatile("" ::: "memory");
	}
	return 0;
}

/* Selects the worker for the turn of ring entry @at, whose own worker is selected. Returns its
 * slot. */
static __always_inline int steer_least(struct sk_reuseport_md *ctx,
                                       const struct rpd_schedule *sched, __u32 at)
{
	const __u32 turn = sched->ring[at & (RPD_RING_MAX - 1)];
	struct steer_least_search it = {
	        .least = steer_least_load(sched, turn,
	                                  steer_least_open(sched, turn) + look_pending(ctx)),
	        .best = turn,
	        .turn = turn,
	        .entry = at,
	        .others = steer_least_is_counted(sched, turn) ? sched->choices - 1 : 0,
	        .seen = 1ull << (turn % 64),
	};

	steer_least_search(ctx, sched, &it);
	return it.best;
}
