/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Protects the steering program of a service of `run`. Any member of a reuseport group may attach a
 * program to the group by a socket option, and so replace ours, or detach it
 * (reuseport_attach_prog(), reuseport_detach_prog() in net/core/sock_reuseport.c). The kernel asks
 * this program before it sets an option of a socket that was made in the service's cgroup,
 * whichever process has the socket now (__cgroup_bpf_run_filter_setsockopt()).
 *
 * Such an attempt has no effect, but setsockopt() returns success: most programs that attach one of
 * their own do it for speed, and many exit if they can't.
 *
 * The program also has to act on sockets that have no port yet. The kernel refuses bind() or
 * listen() of a socket that has a program of its own, if the group exists already
 * (reuseport_add_sock(): EADDRINUSE), and the worker could not start.
 *
 * Two more options take a bound socket out of the group of its port. SO_REUSEPORT=0 seems to
 * succeed and has no effect, too: without that listen() would fail, or the listener would be in no
 * group. To bind a socket to a device is refused: some programs rely on that for their security. A
 * socket that is bound to a device first, and then to its port, is held by hook.bpf.c.
 *
 * The kernel does not ask for system calls of 32-bit programs (do_sock_setsockopt(): `compat`), nor
 * for sockets from outside the cgroup. The supervisor finds these changes (service/in_force.c).
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/guard_abi.h>
#include "shared_ports.h"

/* From asm-generic/socket.h and socket.h. */
#define SOL_SOCKET  1
#define SOCK_STREAM 1
#define AF_INET     2
#define AF_INET6    10
#define TCP_CLOSE   7
#define TCP_LISTEN  10

#define GO_ON  1
#define REFUSE 0 /* setsockopt() fails with EPERM */
/* As optlen: the kernel does nothing, and setsockopt() returns 0. */
#define HANDLED (-1)
/* The kernel copies this much of a value for us. It refuses larger ones with EFAULT, unless optlen
 * is set to 0: then it takes the value from the caller (since Linux 5.8). */
#define GUARD_VALUE_MAX 4096

/* That of the service. */
const volatile __u32 key_low, key_high;

/* When an attempt from a cgroup was last reported. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} guard_reported SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024); /* a multiple of the page size of any architecture */
} guard_events SEC(".maps");

static __always_inline int guard_is_steering_option(const struct bpf_sockopt *ctx)
{
	return ctx->level == SOL_SOCKET &&
	       (ctx->optname == GUARD_ATTACH_CBPF || ctx->optname == GUARD_ATTACH_EBPF ||
	        ctx->optname == GUARD_DETACH);
}

/* Whether the socket is in a group of the service, or may join one. */
static __always_inline int guard_is_ours(const struct bpf_sock *sk)
{
	const __u32 port = sk->src_port;

	return (sk->family == AF_INET || sk->family == AF_INET6) && sk->type == SOCK_STREAM &&
	       sk->protocol == IPPROTO_TCP && (!port || shared_ports_has(port));
}

/* Whether the socket has a port that workers share, and is no connection. */
static __always_inline int guard_is_member(const struct bpf_sock *sk)
{
	return sk->src_port && guard_is_ours(sk) &&
	       (sk->state == TCP_CLOSE || sk->state == TCP_LISTEN);
}

static __always_inline int guard_is_leave(const struct bpf_sockopt *ctx)
{
	const __u32 *on = ctx->optval;

	return ctx->level == SOL_SOCKET && ctx->optname == GUARD_LEAVE &&
	       (const void *)(on + 1) <= ctx->optval_end && !*on;
}

static __always_inline int guard_is_device(const struct bpf_sockopt *ctx)
{
	return ctx->level == SOL_SOCKET &&
	       (ctx->optname == GUARD_DEVICE || ctx->optname == GUARD_IFINDEX);
}

/* Whether reuseportd makes the call, through a listener that it has borrowed from a worker. */
static __always_inline int guard_has_key(const struct bpf_sockopt *ctx)
{
	const struct guard_value *value = ctx->optval;

	return (const void *)(value + 1) <= ctx->optval_end && value->key[0] == key_low &&
	       value->key[1] == key_high;
}

/* A worker may try as often as it likes: it is reported once in a while. */
static __always_inline void guard_report(__u32 option, __u32 port)
{
	struct guard_event event = {
	        .cgroup = bpf_get_current_cgroup_id(), .option = option, .port = port};
	const __u64 now = bpf_ktime_get_ns();
	const __u64 *last = bpf_map_lookup_elem(&guard_reported, &event.cgroup);

	if (last && now - *last < GUARD_QUIET_NS)
		return;
	bpf_map_update_elem(&guard_reported, &event.cgroup, &now, BPF_ANY);
	bpf_ringbuf_output(&guard_events, &event, sizeof(event), 0);
}

SEC("cgroup/setsockopt")
int rpd_guard(struct bpf_sockopt *ctx)
{
	if (guard_is_steering_option(ctx) && guard_has_key(ctx)) {
		ctx->optlen = sizeof(__u32);
	} else if (guard_is_steering_option(ctx) && ctx->sk && guard_is_ours(ctx->sk)) {
		guard_report(ctx->optname, ctx->sk->src_port);
		ctx->optlen = HANDLED;
	} else if (guard_is_leave(ctx) && ctx->sk && guard_is_member(ctx->sk)) {
		guard_report(ctx->optname, ctx->sk->src_port);
		ctx->optlen = HANDLED;
	} else if (guard_is_device(ctx) && ctx->sk && guard_is_member(ctx->sk)) {
		guard_report(ctx->optname, ctx->sk->src_port);
		return REFUSE;
	} else if (ctx->optlen > GUARD_VALUE_MAX) {
		ctx->optlen = 0;
	}
	return GO_ON;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
