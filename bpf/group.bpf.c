/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An iterator over the admitted listeners of a network namespace. It shows what the kernel tells
 * about a listener in no other way: which program its reuseport group has, and how many handshakes
 * are under way.
 *
 * Any member can change the program of its group (guard.bpf.c). There is no socket option, no
 * attribute of sock_diag and no link that would show the program. All members point to the group
 * (struct sock_reuseport, net/core/sock_reuseport.c), which points to the program. Reading a group
 * that is being freed gives a wrong number for once, and no fault.
 *
 * The iterator walks over the marks of the listeners (member_maps.h), not over all TCP sockets: for
 * those, the kernel locks each socket before it shows it (bpf_iter_tcp_seq_show()), and a process
 * can keep its socket locked for as long as it likes.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/abi.h>
#include "kernel_types.h"
#include "member_maps.h"

#define STATE_LISTEN 10 /* include/net/tcp_states.h of the kernel */

/* Most listeners of the host are not the service's: this test keeps their cost low. */
static __always_inline int group_is_our_port(__u16 port)
{
	__u32 zero = 0;
	struct rpd_ports *our = bpf_map_lookup_elem(&ports, &zero);

	return our && our->has[port / 64] >> port % 64 & 1;
}

/* A classic program has no id. */
static __always_inline __u32 group_find_program(const struct sock *sk)
{
	struct bpf_prog *program = BPF_CORE_READ(sk, sk_reuseport_cb, prog);
	__u32 id;

	if (!program)
		return RPD_PROGRAM_NONE;
	id = BPF_CORE_READ(program, aux, id);
	return id ? id : RPD_PROGRAM_CLASSIC;
}

/* A row for a listener of ours. */
static __always_inline void group_show(struct seq_file *seq, struct sock_common *sk)
{
	struct inet_connection_sock *listener;
	struct rpd_group_member row = {};
	struct rpd_member *member;

	if (!group_is_our_port(sk->skc_num))
		return;
	row.cookie = bpf_get_socket_cookie(sk);
	member = bpf_map_lookup_elem(&members, &row.cookie);
	if (!member)
		return;
	listener = (struct inet_connection_sock *)bpf_skc_to_tcp_sock(sk);
	if (!listener)
		return;
	row.endpoint = member->endpoint;
	row.under_way = listener->icsk_accept_queue.qlen.counter;
	row.program = group_find_program((const struct sock *)listener);
	bpf_seq_write(seq, &row, sizeof(row));
}

/* Writes a row for each admitted listener. */
SEC("iter/bpf_sk_storage_map")
int show_member(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;

	if (sk && sk->__sk_common.skc_state == STATE_LISTEN)
		group_show(ctx->meta->seq, (struct sock_common *)sk);
	return 0;
}

/* The same for listeners that are not marked: "members" has those of no service. For commands that
 * may wait. A row without a cookie ends the list. */
SEC("iter/tcp")
int show_listener(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	const struct rpd_group_member end = {};

	if (sk && sk->skc_state == STATE_LISTEN)
		group_show(ctx->meta->seq, sk);
	else if (sk) /* listeners come first: the reader may stop here */
		bpf_seq_write(ctx->meta->seq, &end, sizeof(end));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
