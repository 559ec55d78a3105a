/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A look at the accept queue of the listener that the steering program has just selected.
 *
 * The kernel passes each program its context as a pointer to struct sk_reuseport_kern, and notes
 * there which listener bpf_sk_select_reuseport() has selected. RCU keeps this listener for the
 * whole run. So what is read here always belongs to the selected listener: no address of a socket
 * is kept, and none can be out of date.
 *
 * No hook sees that a worker accepts a connection. But the first connection of the queue is another
 * one then, and the kernel's initial sequence number, which is different for each connection, shows
 * this. The address of the request does not: the kernel gives the memory of a request that has been
 * accepted to the next one.
 *
 * User space finds the members of the kernel's structures (kern/kernel_member.h). So the program
 * loads on a kernel without BTF too, and the verifier then removes all of this.
 */
#pragma once

#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include <reuseportd/members_abi.h>
#include "event_note.h"
#include "shared_maps.h"
#include "steer_pick.h"

const volatile struct rpd_members_at kernel_at;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RPD_SLOT_MAX);
	__type(key, __u32);
	__type(value, struct rpd_queue);
} queues SEC(".maps");

/* bpf_rdonly_cast() of the kernel. */
static const void *(*look_cast)(const void *base, __u32 type) = (void *)RPD_CALL_CAST;

/* These two read the member @at of the structure at @base: with bpf_rdonly_cast() by one
 * instruction, which costs a tenth of the helper's call. */
static __always_inline const void *look_pointer(const void *base,
                                                const volatile struct rpd_member_at *at)
{
	const void *value = NULL;

	if (at->type)
		return *(const void *volatile const *)(look_cast(base, at->type) + at->offset);
	bpf_probe_read_kernel(&value, sizeof(value), base + at->offset);
	return value;
}

static __always_inline __u32 look_word(const void *base, const volatile struct rpd_member_at *at)
{
	__u32 value = 0;

	if (at->type)
		return *(const volatile __u32 *)(look_cast(base, at->type) + at->offset);
	bpf_probe_read_kernel(&value, sizeof(value), base + at->offset);
	return value;
}

static __always_inline bool look_is_possible(void)
{
	return kernel_at.selected_sk.offset != 0;
}

/* How many connections wait for the selected listener. */
static __always_inline __u32 look_length(struct sk_reuseport_md *ctx)
{
	return look_word(look_pointer(ctx, &kernel_at.selected_sk), &kernel_at.ack_backlog);
}

/* How many handshakes with the selected listener are under way. Those whose SYN-ACK had to be sent
 * again don't count: a flood of SYNs is forgotten after a second. */
static __always_inline __u32 look_pending(struct sk_reuseport_md *ctx)
{
	if (!look_is_possible())
		return 0;
	return look_word(look_pointer(ctx, &kernel_at.selected_sk), &kernel_at.young);
}

static __always_inline void look_read(struct sk_reuseport_md *ctx, struct pick_queue *ret)
{
	const void *sk = look_pointer(ctx, &kernel_at.selected_sk);
	const void *first;

	ret->length = look_word(sk, &kernel_at.ack_backlog);
	if (ret->length == 0)
		return;
	ret->limit = look_word(sk, &kernel_at.max_ack_backlog);
	first = look_pointer(sk, &kernel_at.accept_head);
	ret->first = first ? look_word(first, &kernel_at.snt_isn) : 0;
}

/* Logs when a worker gets stuck, and when it accepts again. Of several CPUs that see it, one logs
 * it. */
static __always_inline void look_note_change(struct rpd_control *ctl, struct rpd_queue *row,
                                             __u32 slot, bool is_stuck)
{
	const struct rpd_schedule *sched = schedule_get(ctl);
	struct rpd_events *all = event_note_find();
	struct rpd_worker *worker;

	if (__sync_val_compare_and_swap(&row->is_stuck, !is_stuck, is_stuck) != !is_stuck)
		return;
	__sync_fetch_and_add(&ctl->n_stuck, is_stuck ? 1 : -1);
	worker = sched ? schedule_find_worker(sched, slot) : NULL;
	if (all)
		event_note_burst(all, &row->burst[is_stuck],
		                 is_stuck ? RPD_EVENT_stuck : RPD_EVENT_moving, slot,
		                 worker ? worker->pid : 0);
}

/* Looks at the queue of the selected listener, which is that of @slot. Returns an enum pick_busy.
 */
__attribute__((noinline)) int look_at_queue(struct sk_reuseport_md *ctx, __u32 slot,
                                            __u32 stuck_after)
{
	const __u32 now = bpf_ktime_get_ns() >> RPD_TICK_LOG;
	struct rpd_queue *row = bpf_map_lookup_elem(&queues, &slot);
	__u32 zero = 0;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct pick_queue queue = {};
	enum pick_busy busy;

	if (!look_is_possible() || !ctx || !row || !ctl)
		return PICK_FREE;
	look_read(ctx, &queue);
	busy = steer_pick_busy(&queue, &row->seen, now, stuck_after);
	if (row->is_stuck != (busy == PICK_STUCK))
		look_note_change(ctl, row, slot, busy == PICK_STUCK);
	return busy;
}

/* Counts a turn that the slot has lost. */
static __always_inline void look_count_passed(__u32 slot, enum pick_busy busy)
{
	struct rpd_queue *row = bpf_map_lookup_elem(&queues, &slot);

	if (row)
		__sync_fetch_and_add(
		        &row->passed[busy == PICK_FULL ? RPD_PASS_full : RPD_PASS_stuck], 1);
}
