/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Map "probes": the connections that are probes of the supervisor. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>

#define PROBE_AF_INET  2
#define PROBE_AF_INET6 10

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RPD_SLOT_MAX + RPD_PROBE_MAX);
	__type(key, struct rpd_probe);
	__type(value, __u32);
} probes SEC(".maps");

/* Whether the connection is a probe's. */
static __always_inline bool probe_is_of(const struct bpf_sock *sk)
{
	struct rpd_probe source = {.family = PROBE_AF_INET};
	__u32 *words = (__u32 *)source.addr;

	/* All loads come before the branches: the verifier allows only loads at fixed offsets, and
	 * the compiler joins those of two branches to one at an offset that it computes. */
	for (int i = 0; i < 4; i++)
		words[i] = *(const volatile __u32 *)&sk->dst_ip6[i];
	source.port = bpf_ntohs(sk->dst_port);
	if (sk->family == PROBE_AF_INET)
		words[0] = sk->dst_ip4;
	else if (words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff))
		words[0] = words[3];
	else
		source.family = PROBE_AF_INET6;
	if (source.family == PROBE_AF_INET)
		words[1] = words[2] = words[3] = 0;
	return bpf_map_lookup_elem(&probes, &source) != NULL;
}
