/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The service's maps that say which schedule is in force, and which workers the slots have. */
#pragma once

#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include <reuseportd/cell.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rpd_control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct rpd_schedule);
} schedules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RPD_CELL_MAX);
	__type(key, __u32);
	__type(value, struct rpd_worker);
} workers SEC(".maps");

/* The schedule in force. */
static __always_inline struct rpd_schedule *schedule_get(struct rpd_control *ctl)
{
	__u32 active = *(volatile __u32 *)&ctl->active & 1;

	return bpf_map_lookup_elem(&schedules, &active);
}

static __always_inline struct rpd_schedule *schedule_find(void)
{
	__u32 zero = 0;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);

	return ctl ? schedule_get(ctl) : NULL;
}

/* The row of the slot's worker. */
static __always_inline struct rpd_worker *schedule_find_worker(const struct rpd_schedule *sched,
                                                               __u32 slot)
{
	__u32 cell = rpd_slot_cell(sched, slot);

	return bpf_map_lookup_elem(&workers, &cell);
}
