/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The service's maps that say which listeners are admitted, and on which ports. */
#pragma once

#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>

/* Listener cookie -> where it was admitted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RPD_MEMBER_MAX);
	__type(key, __u64);
	__type(value, struct rpd_member);
} members SEC(".maps");

/* Where the sockets of the listeners are: the iterator of group.bpf.c reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RPD_MEMBER_MAX);
	__type(key, __u32);
	__type(value, struct rpd_mark);
} marks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rpd_ports);
} ports SEC(".maps");
