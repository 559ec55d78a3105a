/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How the steering program selects a listener, and searches for one among all candidates of a
 * schedule. */
#pragma once

#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include "shared_maps.h"
#include "steer_pick.h"

/* A search of all candidates is made of parts of so many steps. */
#define STEER_SCAN_PART 32

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, RPD_SOCKS_MAX);
	__type(key, __u32);
	__type(value, __u64); /* 8 bytes: a look-up from user space gives the socket's cookie */
} socks SEC(".maps");

static __always_inline bool steer_select_cell(struct sk_reuseport_md *ctx, __u32 cell)
{
	return bpf_sk_select_reuseport(ctx, &socks, &cell, 0) == 0;
}

static __always_inline bool steer_select(struct sk_reuseport_md *ctx,
                                         const struct rpd_schedule *sched, __u32 slot)
{
	return steer_select_cell(ctx, rpd_slot_cell(sched, slot));
}

/* Selects the supervisor's parking listener. */
static __always_inline bool steer_select_parking(struct sk_reuseport_md *ctx)
{
	return steer_select_cell(ctx, RPD_SLOT_PARKING + RPD_SLOT_MAX);
}

/* Whether the two slots share turns: versions and canaries keep their shares exactly. */
static __always_inline bool steer_is_alike(const struct rpd_schedule *sched, __u32 a, __u32 b)
{
	const struct rpd_slot *x = &sched->slots[a & (RPD_SLOT_MAX - 1)];
	const struct rpd_slot *y = &sched->slots[b & (RPD_SLOT_MAX - 1)];

	return a != b && x->version == y->version &&
	       (x->flags & RPD_SLOT_CANARY) == (y->flags & RPD_SLOT_CANARY);
}

/*
 * Selects the candidate of one step of steer_scan(). Returns its slot, or -1 if it has no listener.
 *
 * The long loops below, their parts and their single steps are global functions. The verifier
 * checks a global function once, not on each path that leads to it, or for each of a thousand
 * iterations: loading takes a small part of the time. The price is paid in rare cases only.
 */
__attribute__((noinline)) int steer_try_candidate(struct sk_reuseport_md *ctx, __u32 first,
                                                  __u32 count, __u32 start, __u32 step)
{
	struct rpd_schedule *sched = schedule_find();
	__u32 at, slot;

	if (!ctx || !sched || count == 0)
		return -1;
	at = first + steer_pick_scan(start, step, count);
	slot = sched->candidates[at & (RPD_SLOT_MAX - 1)];
	return steer_select(ctx, sched, slot) ? (int)slot : -1;
}

/* The steps of steer_scan() from @step on. */
__attribute__((noinline)) int steer_scan_part(struct sk_reuseport_md *ctx, __u32 first, __u32 count,
                                              __u32 start, __u32 step)
{
	for (__u32 i = 0; i < STEER_SCAN_PART; i++) {
		int slot;

		if (step + i >= count + PICK_SCATTERED)
			break;
		slot = steer_try_candidate(ctx, first, count, start, step + i);
		if (slot >= 0)
			return slot;
	}
	return -1;
}

/* Selects the first of candidates[first .. first + count - 1] that has a listener, in the order of
 * steer_pick_scan() from @start on. Returns its slot, or -1. */
__attribute__((noinline)) int steer_scan(struct sk_reuseport_md *ctx, __u32 first, __u32 count,
                                         __u32 start)
{
	if (count == 0)
		return -1;
	for (__u32 step = 0; step < RPD_SLOT_MAX + PICK_SCATTERED; step += STEER_SCAN_PART) {
		int slot;

		if (step >= count + PICK_SCATTERED)
			break;
		slot = steer_scan_part(ctx, first, count, start, step);
		if (slot >= 0)
			return slot;
	}
	return -1;
}

/* Selects any live worker: one in the ring if possible, otherwise one that is out of the ring. */
static __always_inline int steer_select_any(struct sk_reuseport_md *ctx,
                                            const struct rpd_schedule *sched, __u32 start)
{
	__u32 in_ring = sched->n_ring_slots;
	int slot = steer_scan(ctx, 0, in_ring, start);

	if (slot < 0)
		slot = steer_scan(ctx, in_ring, sched->n_candidates - in_ring, start);
	return slot;
}
