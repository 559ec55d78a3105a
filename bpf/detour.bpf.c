/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Leads new connections to an address on to a listener that covers it, although there are other
 * listeners on the address, which the kernel would prefer. The listener's reuseport group then
 * selects one of its members, as for any connection. Attached to a network namespace.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/detour_abi.h>

#define AF_INET 2

/* The listeners, by the values of the next map. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, DETOUR_MAX);
	__type(key, __u32);
	__type(value, __u64);
} detour_to SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DETOUR_MAX);
	__type(key, struct detour_address);
	__type(value, __u32);
} detour_from SEC(".maps");

SEC("sk_lookup")
int rpd_detour(struct bpf_sk_lookup *ctx)
{
	struct detour_address address = {.port = ctx->local_port, .family = ctx->family}, any;
	__u32 *words = (__u32 *)address.addr;
	const __u32 *index;
	struct bpf_sock *sk;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	any = address;
	if (ctx->family == AF_INET) {
		words[0] = ctx->local_ip4;
	} else {
		words[0] = ctx->local_ip6[0];
		words[1] = ctx->local_ip6[1];
		words[2] = ctx->local_ip6[2];
		words[3] = ctx->local_ip6[3];
	}
	index = bpf_map_lookup_elem(&detour_from, &address);
	if (!index)
		index = bpf_map_lookup_elem(&detour_from, &any);
	if (!index)
		return SK_PASS;
	sk = bpf_map_lookup_elem(&detour_to, index);
	if (!sk)
		return SK_PASS;
	bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
