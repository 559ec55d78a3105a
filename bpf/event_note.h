/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How the programs log what happens to a service: in map "events". */
#pragma once

#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include "shared_maps.h"

/* Adds to the event that is still going on. Returns 0 if there is none. Two CPUs that begin an
 * event at the same time may make two. */
static __always_inline int event_note_continue(struct rpd_events *all, const __u64 *burst,
                                               __u16 slot, __u64 now)
{
	__u64 seq = *burst;
	struct rpd_event *event = &all->entries[(seq - 1) & (RPD_EVENT_MAX - 1)];

	if (!seq || event->seq != seq || event->slot != slot)
		return 0;
	/* Signed: another CPU may have read the clock after us. */
	if ((__s64)(now - event->until) > (__s64)RPD_EVENT_BURST_NS ||
	    (__s64)(now - event->time) > (__s64)RPD_EVENT_LONGEST_NS)
		return 0;
	__sync_fetch_and_add(&event->count, 1);
	event->until = now;
	return 1;
}

static __always_inline struct rpd_events *event_note_find(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&events, &zero);
}

/* @burst: seq of the last event of this kind and slot. */
static __always_inline void event_note_burst(struct rpd_events *all, __u64 *burst,
                                             enum rpd_event_kind kind, __u16 slot, __u32 pid)
{
	__u64 now = bpf_ktime_get_ns(), number;
	struct rpd_event *event;

	if (event_note_continue(all, burst, slot, now))
		return;
	number = __sync_fetch_and_add(&all->head, 1);
	event = &all->entries[number & (RPD_EVENT_MAX - 1)];
	event->seq = 0;
	event->time = event->until = now;
	event->count = 1;
	event->pid = pid;
	event->slot = slot;
	event->kind = kind;
	event->text[0] = 0;
	__sync_fetch_and_add(&event->seq, number + 1); /* a barrier, too */
	*burst = number + 1;
}

static __always_inline void event_note(enum rpd_event_kind kind, __u16 slot, __u32 pid)
{
	struct rpd_events *all = event_note_find();

	if (all)
		event_note_burst(all, &all->burst[kind][slot % RPD_EVENT_BURSTS], kind, slot, pid);
}
