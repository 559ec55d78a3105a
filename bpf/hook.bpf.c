/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The programs on a service's cgroup. At bind() they turn SO_REUSEPORT on, before the kernel checks
 * whether the port is taken, and refuse MPTCP. After listen() they report the listener.
 *
 * Before Linux 6.12 the LISTEN callback of sockops can't read the current cgroup, so bind() stores
 * it with the socket.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/hook_abi.h>
#include "shared_ports.h"

/* From asm-generic/socket.h: the same on all architectures that we support. */
#define SOL_SOCKET   1
#define SO_REUSEPORT 15
#define SOCK_STREAM  1
#define EOPNOTSUPP   95

#define REFUSE 0
#define ALLOW  1
/* Allows the bind() without CAP_NET_BIND_SERVICE. */
#define ALLOW_ANY_PORT 3

/* Offset of is_mptcp in struct tcp_sock; 0 = not known. Not by CO-RE, so that these programs load
 * on a kernel without BTF, too. */
const volatile __u32 is_mptcp_at;
/* bpf_set_retval() is available. Without it a refused bind() fails with EPERM. */
const volatile __u32 has_retval;

/* What bind() stores with a socket. An accepted socket doesn't inherit it. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hook_bound);
} hook_bound SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} hook_listens SEC(".maps");

/* How many listeners could not be reported, as the ring was full. */
__u64 n_lost;

static __always_inline void hook_send(const struct hook_event *event)
{
	if (bpf_ringbuf_output(&hook_listens, (void *)event, sizeof(*event), 0) < 0)
		__sync_fetch_and_add(&n_lost, 1);
}

/* For an MPTCP socket the kernel binds a TCP socket of its own, which is the one that listens. */
static __always_inline int hook_is_mptcp(struct bpf_sock *sk)
{
	const __u8 *tp = is_mptcp_at ? (void *)bpf_skc_to_tcp_sock(sk) : NULL;

	return tp && tp[is_mptcp_at];
}

/*
 * An MPTCP listener can't be put into a socket array, nor can a program be attached to it. Programs
 * that merely prefer MPTCP (such as Go's) fall back to TCP when it is refused here.
 */
static __always_inline int hook_refuse(struct bpf_sock_addr *ctx, __u16 port)
{
	const struct hook_event event = {
	        .cgroup = bpf_get_current_cgroup_id(),
	        .cookie = bpf_get_socket_cookie(ctx),
	        .port = port,
	        .fixed = 1,
	        .refused = 1,
	};

	hook_send(&event);
	if (has_retval)
		bpf_set_retval(-EOPNOTSUPP);
	return REFUSE;
}

static __always_inline int hook_handle_bind(struct bpf_sock_addr *ctx)
{
	const __u16 port = bpf_ntohs(ctx->user_port);
	const int shared = port && shared_ports_has(port);
	/* Workers of any user may bind a port that was named. */
	const int allow = n_ports && shared ? ALLOW_ANY_PORT : ALLOW;
	struct bpf_sock *sk = ctx->sk;
	struct hook_bound *bound;
	int on = 1;

	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP)
		return ALLOW;
	if (shared && sk && hook_is_mptcp(sk))
		return hook_refuse(ctx, port);
	/* If this fails, bind() goes on as without us, and returns EADDRINUSE if the port is taken.
	 */
	if (shared)
		bpf_setsockopt(ctx, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (!sk)
		return allow;
	bound = bpf_sk_storage_get(&hook_bound, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (bound) {
		bound->cgroup = bpf_get_current_cgroup_id();
		bound->fixed = port != 0;
	}
	return allow;
}

SEC("cgroup/bind4")
int rpd_bind4(struct bpf_sock_addr *ctx)
{
	return hook_handle_bind(ctx);
}

SEC("cgroup/bind6")
int rpd_bind6(struct bpf_sock_addr *ctx)
{
	return hook_handle_bind(ctx);
}

static __always_inline void hook_send_listen(struct bpf_sock_ops *ctx)
{
	struct hook_event event = {
	        .cookie = bpf_get_socket_cookie(ctx),
	        .port = (__u16)ctx->local_port,
	};
	const struct hook_bound *bound = NULL;

	if (ctx->sk)
		bound = bpf_sk_storage_get(&hook_bound, ctx->sk, NULL, 0);
	if (bound) {
		event.cgroup = bound->cgroup;
		event.fixed = bound->fixed;
	}
	/* The supervisor needs no listener on a port that the kernel has chosen, or on a port that
	 * was not named. */
	if (event.fixed && shared_ports_has(event.port))
		hook_send(&event);
}

SEC("sockops")
int rpd_listen(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_TCP_LISTEN_CB)
		hook_send_listen(ctx);
	return ALLOW;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
