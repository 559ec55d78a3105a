/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An iterator over the listeners of a network namespace, which turns SO_REUSEPORT of the members of
 * our groups on again (group.bpf.c says what it does if it is off). The option belongs to the
 * listener, and not to a process: there may be no process that has the listener open, because its
 * only descriptor is in a message that no process has received (SCM_RIGHTS).
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/abi.h>
#include <reuseportd/rejoin_abi.h>
#include "kernel_types.h"

#define STATE_LISTEN 10 /* include/net/tcp_states.h of the kernel */
#define SOL_SOCKET   1
#define SO_REUSEPORT 15

/* The ids of the steering programs, by endpoint; 0 = none. */
const volatile __u32 programs[RPD_ENDPOINT_MAX];

/* Returns RPD_ENDPOINT_MAX if our program is not that of the listener's group. */
static __always_inline __u32 rejoin_find_endpoint(struct sock *sk)
{
	struct bpf_prog *program = BPF_CORE_READ(sk, sk_reuseport_cb, prog);
	const __u32 id = program ? BPF_CORE_READ(program, aux, id) : 0;
	__u32 e = 0;

	while (e < RPD_ENDPOINT_MAX && (!id || programs[e] != id))
		e++;
	return e;
}

/* Returns whether it has changed the listener. */
static __always_inline bool rejoin_change(struct sock_common *sk, struct rpd_rejoined *row)
{
	int on = 1;

	if (BPF_CORE_READ_BITFIELD_PROBED(sk, skc_reuseport))
		return false;
	row->endpoint = rejoin_find_endpoint((struct sock *)sk);
	if (row->endpoint == RPD_ENDPOINT_MAX ||
	    bpf_setsockopt(sk, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)))
		return false;
	row->cookie = bpf_get_socket_cookie(sk);
	row->inode = BPF_CORE_READ((struct sock *)sk, sk_socket, file, f_inode, i_ino);
	return true;
}

/* Writes a row for each listener that it changes. A row without a cookie, the only one of its read,
 * ends the list. The kernel locks each socket that it comes to: the read ends at the first ones
 * that do not listen. */
SEC("iter/tcp")
int rejoin(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct seq_file *seq = ctx->meta->seq;
	struct rpd_rejoined row = {};

	if (!sk)
		return 0;
	if (sk->skc_state == STATE_LISTEN) {
		if (!rejoin_change(sk, &row))
			return 0;
	} else if (seq->count) { /* listeners come first */
		return 1;
	}
	bpf_seq_write(seq, &row, sizeof(row));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
