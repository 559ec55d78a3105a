/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Notifies user space when a process of a cgroup begins to listen on a port: an event after each
 * successful listen() (the LISTEN callback of sockops, which needs no tracing and no BTF).
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 listen_port; /* the port to watch; 0 = all */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} listen_events SEC(".maps");

SEC("sockops")
int on_listen(struct bpf_sock_ops *ctx)
{
	__u32 port = ctx->local_port;

	if (ctx->op == BPF_SOCK_OPS_TCP_LISTEN_CB && (!listen_port || port == listen_port))
		/* If the ring is full there is an unread event already, and one is enough. */
		bpf_ringbuf_output(&listen_events, &port, sizeof(port), 0);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
