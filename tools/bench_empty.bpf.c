/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The benchmark compares the steering program with this program, which does nothing and so leaves
 * the choice to the kernel's hash.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("sk_reuseport/migrate")
int empty(struct sk_reuseport_md *ctx __attribute__((unused)))
{
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
