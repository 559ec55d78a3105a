/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Programs that do nothing, with which the benchmarks compare ours: what takes time with them is
 * the kernel's way to a program.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* It leaves the choice to the kernel's hash. */
SEC("sk_reuseport/migrate")
int empty(struct sk_reuseport_md *ctx __attribute__((unused)))
{
	return SK_PASS;
}

SEC("cgroup_skb/ingress")
int empty_in(struct __sk_buff *skb __attribute__((unused)))
{
	return 1;
}

SEC("cgroup_skb/egress")
int empty_out(struct __sk_buff *skb __attribute__((unused)))
{
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
