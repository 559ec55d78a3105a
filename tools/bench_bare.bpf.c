/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the benchmark holds the steering program against: a program that does nothing, and the
 * barest ones that choose a listener, in turn as round robin does and by hash as sticky does. What
 * these cost more with more listeners is the kernel's own cost of choosing one.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/abi.h>

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, RPD_SLOT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} socks SEC(".maps");

const volatile __u32 slots = 1;
__u64 cursor;

SEC("sk_reuseport/migrate")
int empty(struct sk_reuseport_md *ctx)
{
	(void)ctx;
	return SK_PASS;
}

SEC("sk_reuseport/migrate")
int in_turn(struct sk_reuseport_md *ctx)
{
	__u32 slot = __sync_fetch_and_add(&cursor, 1) % slots;

	bpf_sk_select_reuseport(ctx, &socks, &slot, 0);
	return SK_PASS;
}

SEC("sk_reuseport/migrate")
int by_hash(struct sk_reuseport_md *ctx)
{
	__u32 slot = ctx->hash % slots;

	bpf_sk_select_reuseport(ctx, &socks, &slot, 0);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
