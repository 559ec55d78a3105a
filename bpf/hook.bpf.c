/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The programs on a service's cgroup. At bind() they turn SO_REUSEPORT on, before the kernel checks
 * whether the port is taken, and refuse MPTCP. After listen() they report the listener.
 *
 * The kernel prefers some reuseport groups to others. So a listener on 127.0.0.1:PORT takes all
 * connections to this address from a service on 0.0.0.0:PORT, and one on 0.0.0.0:PORT takes all
 * IPv4 connections from a service on [::]:PORT. Such an address is held: bind() and listen()
 * succeed, but the socket gets another address, where it takes no connection. If bind() failed,
 * programs that only try whether a port is free would choose another port.
 *
 * A port that a worker has bound and does not listen on is a lock: which worker gets it is the
 * leader. Such a port is not shared.
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
#define SOCK_DGRAM   2
#define AF_INET      2
#define AF_INET6     10
#define EOPNOTSUPP   95

#define REFUSE 0
#define ALLOW  1
/* Allows the bind() without CAP_NET_BIND_SERVICE. */
#define ALLOW_ANY_PORT 3

/* Offset of is_mptcp in struct tcp_sock; 0 = not known. Not by CO-RE, so that these programs load
 * on a kernel without BTF, too. */
const volatile __u32 is_mptcp_at;
/* The byte and the bit of skc_ipv6only in struct sock_common; 0 = not known. */
const volatile __u32 v6only_at, v6only_bit;
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
} hook_reports SEC(".maps");

/* The endpoints of the service, and for each of their ports an entry with family 0. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOOK_ADDRESSES_MAX);
	__type(key, struct hook_address);
	__type(value, __u32); /* HOOK_SERVED and other flags */
} hook_served SEC(".maps");

/* Addresses, or ports (family 0), that are one worker's own business: not shared. Port 0: all
 * loopback addresses. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOOK_ADDRESSES_MAX);
	__type(key, struct hook_address);
	__type(value, __u32);
} hook_private SEC(".maps");

/* Addresses that are bound and not listened on. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HOOK_ADDRESSES_MAX);
	__type(key, struct hook_address);
	__type(value, struct hook_lock);
} hook_locks SEC(".maps");

/* How many listeners could not be reported, as the ring was full. */
__u64 n_lost;

static __always_inline void hook_send(const struct hook_event *event)
{
	if (bpf_ringbuf_output(&hook_reports, (void *)event, sizeof(*event), 0) < 0)
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

/* --- addresses */

static __always_inline int hook_is_wildcard(const struct hook_address *address)
{
	const __u32 *words = (const __u32 *)address->addr;

	return !(words[0] | words[1] | words[2] | words[3]);
}

/* bind() takes the device of a link-local address from sin6_scope_id, which we don't see. */
static __always_inline int hook_is_link_local(const struct hook_address *address)
{
	return address->family == AF_INET6 && address->addr[0] == 0xfe &&
	       (address->addr[1] & 0xc0) == 0x80;
}

/* The address that bind() asks for. */
static __always_inline void hook_read_address(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
                                              __u8 family, struct hook_address *ret)
{
	__u32 *words = (__u32 *)ret->addr;

	ret->port = bpf_ntohs(ctx->user_port);
	ret->ifindex = sk->bound_dev_if;
	ret->family = family;
	if (family == AF_INET) {
		words[0] = ctx->user_ip4;
		return;
	}
	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff)) {
		ret->family = AF_INET;
		words[0] = words[3];
		words[2] = words[3] = 0;
	}
}

/* The flags of a served address; 0 = it isn't served. */
static __always_inline __u32 hook_find_served(const struct hook_address *address)
{
	const __u32 *flags = bpf_map_lookup_elem(&hook_served, address);

	return flags ? *flags : 0;
}

/* The flags of the wildcard address of @asked->port on all devices, or on the device of @asked; if
 * @asked has none, on some device. */
static __always_inline __u32 hook_find_wildcard(const struct hook_address *asked, __u8 family)
{
	struct hook_address any = {.port = asked->port, .family = family};
	__u32 flags = hook_find_served(&any);

	any.ifindex = asked->ifindex ? asked->ifindex : HOOK_SOME_DEVICE;
	return flags | hook_find_served(&any);
}

/* Whether any address of the port is served. */
static __always_inline int hook_serves_port(const struct hook_address *asked)
{
	const struct hook_address port = {.port = asked->port};

	return hook_find_served(&port) != 0;
}

/* Whether a listener on the address would take connections from an endpoint that is served.
 * @family: of the socket. For the same rule in user space see endpoint_takes_from(). */
static __always_inline int hook_takes_from_served(const struct hook_address *asked, __u8 family)
{
	struct hook_address same = *asked;
	__u32 flags;

	if (!hook_serves_port(asked))
		return 0;
	flags = hook_find_served(asked);
	same.ifindex = asked->ifindex ? 0 : HOOK_SOME_DEVICE;
	if (hook_is_link_local(asked))
		flags |= hook_find_served(&same);
	if (flags)
		return family == AF_INET && !(flags & HOOK_PLAIN);
	if (hook_find_served(&same))
		return 1;
	if (!hook_is_wildcard(asked) && hook_find_wildcard(asked, asked->family))
		return 1;
	return asked->family == AF_INET && (hook_find_wildcard(asked, AF_INET6) & HOOK_DUAL);
}

static __always_inline int hook_is_loopback(const struct hook_address *address)
{
	const __u32 *words = (const __u32 *)address->addr;

	if (address->family == AF_INET)
		return address->addr[0] == 127;
	return !(words[0] | words[1] | words[2]) && words[3] == bpf_htonl(1);
}

static __always_inline int hook_is_private(const struct hook_address *asked)
{
	const struct hook_address port = {.port = asked->port}, loopback = {0};

	return bpf_map_lookup_elem(&hook_private, asked) ||
	       bpf_map_lookup_elem(&hook_private, &port) ||
	       (hook_is_loopback(asked) && !hook_serves_port(asked) &&
	        bpf_map_lookup_elem(&hook_private, &loopback));
}

/* --- locks */

/*
 * Whether the address is a lock that another socket has. If no socket has it, this one does: it may
 * be a lock or not, so until then the port is shared. If the address was a lock before, then it is
 * one at once: when the holder dies, exactly one of the others gets it.
 *
 * A port that the service serves is no lock: some programs bind long before they listen.
 */
static __always_inline int hook_is_locked(struct bpf_sock_addr *ctx,
                                          const struct hook_address *asked)
{
	const struct hook_lock own = {.cookie = bpf_get_socket_cookie(ctx),
	                              .at = bpf_ktime_get_ns()};
	struct hook_lock *lock;
	__u64 holder;

	if (n_ports || !asked->port || hook_serves_port(asked))
		return 0;
	lock = bpf_map_lookup_elem(&hook_locks, asked);
	if (!lock) {
		bpf_map_update_elem(&hook_locks, asked, &own, BPF_NOEXIST);
		return 0;
	}
	holder = __sync_val_compare_and_swap(&lock->cookie, 0, own.cookie);
	if (!holder)
		lock->at = own.at;
	if (!holder || holder == own.cookie || (!lock->known && own.at - lock->at <= HOOK_LOCK_NS))
		return 0;
	lock->known = 1;
	return 1;
}

/* The socket listens, so the port is no lock. */
static __always_inline void hook_forget_lock(const struct hook_bound *bound, __u64 cookie)
{
	const struct hook_address address = bound->asked;
	const struct hook_lock *lock = bpf_map_lookup_elem(&hook_locks, &address);

	if (lock && lock->cookie == cookie)
		bpf_map_delete_elem(&hook_locks, &address);
}

/* The socket is closed. */
static __always_inline void hook_release_lock(const struct hook_bound *bound, __u64 cookie)
{
	const struct hook_address address = bound->asked;
	struct hook_lock *lock = bpf_map_lookup_elem(&hook_locks, &address);

	if (lock && lock->known)
		__sync_val_compare_and_swap(&lock->cookie, cookie, 0);
	else if (lock && lock->cookie == cookie)
		bpf_map_delete_elem(&hook_locks, &address);
}

/* --- bind() */

static __always_inline int hook_is_v6only(struct bpf_sock *sk)
{
	const __u8 *tp = v6only_at ? (void *)bpf_skc_to_tcp_sock(sk) : NULL;

	return tp && tp[v6only_at] >> v6only_bit & 1;
}

/*
 * Binds to 255.255.255.255 instead. The kernel allows that, also without a network device, and
 * drops each SYN to a broadcast address (tcp_v4_conn_request()). An IPv6 socket that takes no IPv4
 * can't have it: it gets a port that the kernel chooses, on [::1].
 */
static __always_inline void hook_hold(struct bpf_sock_addr *ctx, struct bpf_sock *sk, __u8 family)
{
	if (family == AF_INET) {
		ctx->user_ip4 = 0xffffffff;
		return;
	}
	ctx->user_ip6[0] = 0;
	ctx->user_ip6[1] = 0;
	if (hook_is_v6only(sk)) {
		ctx->user_ip6[2] = 0;
		ctx->user_ip6[3] = bpf_htonl(1);
		ctx->user_port = 0;
	} else {
		ctx->user_ip6[2] = bpf_htonl(0xffff);
		ctx->user_ip6[3] = 0xffffffff;
	}
}

static __always_inline void hook_share(struct bpf_sock_addr *ctx)
{
	int on = 1;

	/* If this fails, bind() goes on as without us, and returns EADDRINUSE if the port is taken.
	 */
	bpf_setsockopt(ctx, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static __always_inline int hook_handle_tcp(struct bpf_sock_addr *ctx, __u8 family, int shared)
{
	/* Workers of any user may bind a port that was named. */
	const int allow = n_ports && shared ? ALLOW_ANY_PORT : ALLOW;
	struct hook_address asked = {0};
	struct bpf_sock *sk = ctx->sk;
	struct hook_bound *bound;
	int held;

	if (!sk)
		return allow;
	hook_read_address(ctx, sk, family, &asked);
	if (shared && hook_is_mptcp(sk))
		return hook_refuse(ctx, asked.port);
	held = shared && hook_takes_from_served(&asked, family);
	if (held)
		hook_hold(ctx, sk, family);
	if (held || (shared && !hook_is_private(&asked) && !hook_is_locked(ctx, &asked)))
		hook_share(ctx);
	bound = bpf_sk_storage_get(&hook_bound, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (bound) {
		bound->cgroup = bpf_get_current_cgroup_id();
		bound->fixed = asked.port != 0;
		bound->held = held;
		bound->asked = asked;
	}
	return allow;
}

static __always_inline int hook_handle_bind(struct bpf_sock_addr *ctx, __u8 family)
{
	const __u16 port = bpf_ntohs(ctx->user_port);
	const int shared = port && shared_ports_has(port);

	if (ctx->type == SOCK_STREAM && ctx->protocol == IPPROTO_TCP)
		return hook_handle_tcp(ctx, family, shared);
	if (ctx->type == SOCK_DGRAM && ctx->protocol == IPPROTO_UDP && shared)
		hook_share(ctx);
	return ALLOW;
}

SEC("cgroup/bind4")
int rpd_bind4(struct bpf_sock_addr *ctx)
{
	return hook_handle_bind(ctx, AF_INET);
}

SEC("cgroup/bind6")
int rpd_bind6(struct bpf_sock_addr *ctx)
{
	return hook_handle_bind(ctx, AF_INET6);
}

/* --- listen() and close() */

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
		event.held = bound->held;
		event.asked = bound->asked;
		hook_forget_lock(bound, event.cookie);
	}
	if (event.held)
		event.port = event.asked.port;
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

/* Attached only if ports are not named. */
SEC("cgroup/sock_release")
int rpd_release(struct bpf_sock *ctx)
{
	const struct hook_bound *bound = bpf_sk_storage_get(&hook_bound, ctx, NULL, 0);

	if (bound)
		hook_release_lock(bound, bpf_get_socket_cookie(ctx));
	return ALLOW;
}

/* --- getsockname() */

/* For a held socket, shows the address that bind() was asked for: some programs ask which port they
 * have got. */
static __always_inline void hook_show_asked(struct bpf_sock_addr *ctx, __u8 family)
{
	const struct hook_bound *bound = NULL;
	const __u32 *words;

	if (ctx->sk)
		bound = bpf_sk_storage_get(&hook_bound, ctx->sk, NULL, 0);
	if (!bound || !bound->held)
		return;
	words = (const __u32 *)bound->asked.addr;
	ctx->user_port = bpf_htons(bound->asked.port);
	if (family == AF_INET) {
		ctx->user_ip4 = words[0];
	} else if (bound->asked.family == AF_INET) {
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = bpf_htonl(0xffff);
		ctx->user_ip6[3] = words[0];
	} else {
		ctx->user_ip6[0] = words[0];
		ctx->user_ip6[1] = words[1];
		ctx->user_ip6[2] = words[2];
		ctx->user_ip6[3] = words[3];
	}
}

SEC("cgroup/getsockname4")
int rpd_name4(struct bpf_sock_addr *ctx)
{
	hook_show_asked(ctx, AF_INET);
	return ALLOW;
}

SEC("cgroup/getsockname6")
int rpd_name6(struct bpf_sock_addr *ctx)
{
	hook_show_asked(ctx, AF_INET6);
	return ALLOW;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
