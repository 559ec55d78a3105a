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
__attribute__((noinline)) int steer_least_growth(const struct rpd_schedule *sched, __u32 slot)
{
	struct rpd_worker *worker;

	if (!sched)
		return PICK_GROWN;
	worker = schedule_find_worker(sched, slot);
	return steer_pick_growth(worker ? bpf_ktime_get_ns() - worker->admitted_ns : 0,
	                         (__u64)sched->slow_start << RPD_TICK_LOG);
}

/* A worker without an account (RPD_ACCOUNT_NONE) has its own turns, and no other. */
static __always_inline bool steer_least_is_counted(const struct rpd_schedule *sched, __u32 slot)
{
	return !(sched->slots[slot & (RPD_SLOT_MAX - 1)].generation / RPD_ACCOUNT_GENERATIONS);
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
	                          sched->slow_start ? steer_least_growth(sched, slot) : PICK_GROWN};
}

/* A worker that may take the turn. */
struct steer_least_choice {
	__u32 slot;
	__u32 connections; /* without the handshakes under way */
};

/* A search for the least load. */
struct steer_least_search {
	struct steer_least_choice choices[RPD_CHOICES_MAX]; /* the first one has the turn */
	__u32 n;                                            /* of choices */
	__u32 entry;            /* of the ring, that was searched last */
	__u64 seen;             /* bit n: a slot with slot % 64 == n is among the choices */
	struct pick_load least; /* of the best choice so far: its listener is selected */
	__u32 best;             /* its slot */
};

/* Adds the slot's worker, unless it is a choice already: the ring names a heavy worker often. */
static __always_inline void steer_least_add(const struct rpd_schedule *sched,
                                            struct steer_least_search *it, __u32 slot)
{
	const __u64 bit = 1ull << (slot % 64);

	if (it->seen & bit)
		return;
	it->seen |= bit;
	it->choices[it->n++ & (RPD_CHOICES_MAX - 1)] =
	        (struct steer_least_choice){slot, steer_least_open(sched, slot)};
}

/* Adds the worker of the next ring entry, if it may take the turn. */
static __always_inline void steer_least_step(const struct rpd_schedule *sched,
                                             struct steer_least_search *it)
{
	__u32 slot;

	it->entry = it->entry + 1 < sched->ring_len ? it->entry + 1 : 0;
	slot = sched->ring[it->entry & (RPD_RING_MAX - 1)];
	if (steer_is_alike(sched, slot, it->choices[0].slot) && steer_least_is_counted(sched, slot))
		steer_least_add(sched, it, slot);
}

/*
 * Selects the choice, which has less load than the best one unless its handshakes count. These can
 * be read of a selected listener only. So a worker that turns out to have too many gives way to the
 * best one again.
 */
__attribute__((noinline)) int steer_least_take(struct sk_reuseport_md *ctx,
                                               const struct rpd_schedule *sched,
                                               struct steer_least_search *it, __u32 slot,
                                               __u32 connections)
{
	struct pick_load load;

	if (!ctx || !sched || !it || !steer_select(ctx, sched, slot))
		return 0;
	load = steer_least_load(sched, slot, connections + look_pending(ctx));
	if (!steer_pick_is_less(&load, &it->least) && steer_select(ctx, sched, it->best))
		return 0;
	it->best = slot;
	it->least = load;
	return 0;
}

static __always_inline void steer_least_compare(struct sk_reuseport_md *ctx,
                                                const struct rpd_schedule *sched,
                                                struct steer_least_search *it,
                                                const struct steer_least_choice *choice)
{
	const struct pick_load load = steer_least_load(sched, choice->slot, choice->connections);

	if (steer_pick_is_less(&load, &it->least))
		steer_least_take(ctx, sched, it, choice->slot, choice->connections);
}

/*
 * Finds the choices for the turn of ring entry @it->entry.
 *
 * A call costs as much as 30 instructions, so the loops of the search are inside two functions. The
 * verifier knows nothing of the memory at @it, and so checks them quickly; the barriers keep the
 * compiler from using registers instead.
 */
__attribute__((noinline)) int steer_least_find(const struct rpd_schedule *sched,
                                               struct steer_least_search *it)
{
	__u32 n = 0;

	if (!sched || !it)
		return 0;
	it->best = sched->ring[it->entry & (RPD_RING_MAX - 1)];
	steer_least_add(sched, it, it->best);
	if (steer_least_is_counted(sched, it->best))
		n = sched->ring_len;
	for (__u32 i = 1; i < STEER_LEAST_AHEAD && i < n && it->n < sched->choices; i++) {
		steer_least_step(sched, it);
		barrier();
	}
	return 0;
}

/* Selects the choice with the least load. The listener of the first one is selected. */
__attribute__((noinline)) int steer_least_choose(struct sk_reuseport_md *ctx,
                                                 const struct rpd_schedule *sched,
                                                 struct steer_least_search *it)
{
	if (!ctx || !sched || !it)
		return 0;
	it->least =
	        steer_least_load(sched, it->best, it->choices[0].connections + look_pending(ctx));
	for (__u32 i = 1; i < RPD_CHOICES_MAX && i < it->n; i++) {
		steer_least_compare(ctx, sched, it, &it->choices[i]);
		barrier();
	}
	return 0;
}

/*
 * Selects the worker for the turn of ring entry @at. Returns its slot, or -1 if the entry's own
 * worker has no listener.
 *
 * A listener is selected late. The CPU waits for the listener's memory then, and the kernel reads
 * more of it next: with few instructions in between the CPU waits for both at the same time.
 */
static __always_inline int steer_least(struct sk_reuseport_md *ctx,
                                       const struct rpd_schedule *sched, __u32 at)
{
	struct steer_least_search it = {.entry = at};

	steer_least_find(sched, &it);
	if (!steer_select(ctx, sched, it.best))
		return -1;
	steer_least_choose(ctx, sched, &it);
	return it.best;
}
