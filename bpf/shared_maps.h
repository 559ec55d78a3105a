/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The service's maps that both the steering and the counting programs use. User space gives all of
 * them the same maps. */
#pragma once

#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include <reuseportd/ignored_abi.h>
#include "member_maps.h"
#include "schedule_maps.h"
#include "steer_pick.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RPD_ACCOUNT_MAX);
	__type(key, __u32);
	__type(value, struct rpd_account);
} accounts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RPD_ACCOUNT_MAX);
	__type(key, __u32);
	__type(value, struct rpd_load);
} loads SEC(".maps");

/* Counts @n connections with this tag, if they are to be counted. */
static __always_inline void load_add(__u64 tag, __s64 n)
{
	__u32 account = tag & RPD_TAG_ACCOUNT;
	struct rpd_load *load = tag & RPD_TAG_LOAD ? bpf_map_lookup_elem(&loads, &account) : NULL;

	if (load)
		__sync_fetch_and_add(&load->open, n);
}

/* Counts a reset by the account's worker. One of two at the same time may be lost. */
static __always_inline void load_note_reset(__u32 account)
{
	struct rpd_load *load = bpf_map_lookup_elem(&loads, &account);

	if (load)
		load->resets =
		        steer_pick_reset(load->resets, bpf_ktime_get_ns() >> RPD_RESET_TICK_LOG);
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rpd_ignored);
} ignored SEC(".maps");

/* User space sets the sizes of the next two maps. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rpd_conns);
} conns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} conns_more SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rpd_events);
} events SEC(".maps");
