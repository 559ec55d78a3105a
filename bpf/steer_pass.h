/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Passes the turn of a worker that is stuck, or whose queue is full, on to another one. */
#pragma once

#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include "shared_maps.h"
#include "steer_look.h"
#include "steer_pick.h"
#include "steer_search.h"

/* How many workers to try for the turn of a stuck one. */
#define STEER_PASS_TRIES 32

/*
 * Whether the selected worker may have to pass its turn on. The usual answer is no, because its
 * queue is empty and nobody is stuck: then no line of memory is read that the kernel does not read
 * for this SYN too.
 */
static __always_inline bool steer_may_be_busy(struct sk_reuseport_md *ctx,
                                              const struct rpd_control *ctl,
                                              const struct rpd_schedule *sched)
{
	return look_is_possible() && sched->stuck_after && (look_length(ctx) || ctl->n_stuck);
}

/* Selects the worker of one step of the search for @turn's slot's substitute, if it can take the
 * turn. Returns its slot, or -1. */
__attribute__((noinline)) int steer_try_substitute(struct sk_reuseport_md *ctx, __u32 turn,
                                                   __u32 start, __u32 step)
{
	struct rpd_schedule *sched = schedule_find();
	const struct rpd_version *version;
	int slot;

	if (!ctx || !sched)
		return -1;
	version = &sched->versions[sched->slots[turn & (RPD_SLOT_MAX - 1)].version &
	                           (RPD_VERSION_MAX - 1)];
	if (step >= version->count + PICK_SCATTERED)
		return -1;
	slot = steer_try_candidate(ctx, version->first, version->count, start, step);
	if (slot < 0 || !steer_is_alike(sched, slot, turn) ||
	    look_at_queue(ctx, slot, sched->stuck_after) != PICK_FREE)
		return -1;
	return slot;
}

/*
 * Looks closely at the selected worker, whose turn it is, and selects another one instead if this
 * one is stuck or its queue is full. The others take such turns evenly. If all that are tried are
 * stuck, the turn stands. Returns the slot of the selected worker, or -1 if it has no listener any
 * more. The cursor does not move.
 */
__attribute__((noinline)) int steer_pass_on(struct sk_reuseport_md *ctx, __u32 turn, __u32 client)
{
	struct rpd_schedule *sched = schedule_find();
	__u32 zero = 0, start;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);
	int busy;

	if (!ctx || !ctl || !sched)
		return -1;
	busy = look_at_queue(ctx, turn, sched->stuck_after);
	if (busy == PICK_FREE)
		return turn;
	start = sched->policy == RPD_STICKY ? client : __sync_fetch_and_add(&ctl->aside, 1);
	for (__u32 step = 0; step < STEER_PASS_TRIES; step++) {
		int slot = steer_try_substitute(ctx, turn, start, step);

		if (slot >= 0) {
			look_count_passed(turn, busy);
			return slot;
		}
	}
	return steer_select(ctx, sched, turn) ? (int)turn : -1;
}
