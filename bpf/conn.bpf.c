/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Counts each worker's connections, with nothing asked of the workers.
 *
 * A listener is tagged with its worker's account; the kernel copies the tag to each connection that
 * the listener makes (BPF_F_CLONE). on_state() sees every change of a TCP socket's state: of a
 * tagged one it counts when it is established and when it ends.
 *
 * Why a BTF tracepoint and not the STATE callback of sockops: both see the same (counts were
 * identical for every way to end a connection), but sockops would have to be attached to the root
 * cgroup, as nobody knows where the workers are, and there runs some six times for each connection
 * of the machine, a client's or a worker's, where this runs for a change of state only and leaves
 * at once what isn't tagged. And a socket that listens already can't be told to call sockops back;
 * a tag can be put on it from outside.
 *
 * Nothing here has any say in steering: with it gone, steering goes on, uncounted.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/abi.h>
#include "event_note.h"
#include "kernel_types.h"
#include "shared_maps.h"

/* include/net/tcp_states.h and errno.h of the kernel. */
#define STATE_ESTABLISHED 1
#define STATE_CLOSE       7
#define STATE_CLOSE_WAIT  8
#define STATE_LISTEN      10
#define ERR_PIPE          32
#define ERR_ABORTED       103
#define ERR_RESET         104

#define NS_PER_S 1000000000ull

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct rpd_tag);
} tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RPD_SLOT_MAX);
	__type(key, __u32);
	__type(value, struct rpd_rate);
} rates SEC(".maps");

static __always_inline struct rpd_account *find_account(__u32 account)
{
	return bpf_map_lookup_elem(&accounts, &account);
}

/* Counts the connection in the present second. */
static __always_inline void count_rate(__u32 account, __u64 now)
{
	__u32 slot = account % RPD_SLOT_MAX;
	__u64 second = now / NS_PER_S;
	struct rpd_rate *rate;

	if (account >= RPD_ACCOUNT_UNKNOWN)
		return;
	rate = bpf_map_lookup_elem(&rates, &slot);
	if (!rate)
		return;
	if (rate->second != second) {
		for (int i = 1; i <= RPD_RATE_SECONDS; i++)
			if (rate->second + i <= second)
				rate->of[(rate->second + i) % RPD_RATE_SECONDS] = 0;
		rate->second = second;
	}
	rate->of[second % RPD_RATE_SECONDS]++;
}

static __always_inline void established(struct rpd_tag *tag)
{
	struct rpd_account *account = find_account(tag->account);

	if (!account || tag->counted)
		return;
	tag->counted = true;
	tag->since = bpf_ktime_get_ns();
	__sync_fetch_and_add(&account->of[RPD_CONN_opened], 1);
	count_rate(tag->account, tag->since);
}

/* Where the connection is counted; a note that it has moved is not needed any more. */
static __always_inline __u32 last_account(struct sock *sk, const struct rpd_tag *tag)
{
	__u32 zero = 0, account = tag->account;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct rpd_moved *note;
	__u64 cookie;

	if (!ctl || !ctl->n_moved)
		return account;
	cookie = bpf_get_socket_cookie(sk);
	note = bpf_map_lookup_elem(&moved, &cookie);
	if (!note)
		return account;
	account = note->account;
	if (bpf_map_delete_elem(&moved, &cookie) == 0)
		__sync_fetch_and_add(&ctl->n_moved, -1);
	return account;
}

/*
 * A connection that ends without a FIN of its own was reset: by the client if the kernel has noted
 * that as the socket's error (tcp_reset(): EPIPE if the client had sent a FIN before), else by the
 * worker's side, which goes to CLOSE from a state in which it has not said goodbye (tcp_close()
 * with unread data, tcp_disconnect() for SO_LINGER 0 and for what a listener leaves in its queue,
 * tcp_abort()). What ends by time-out has another error, and is neither.
 */
static __always_inline void ended(struct sock *sk, struct rpd_tag *tag, int oldstate)
{
	struct rpd_account *account;
	int error = sk->sk_err;

	if (!tag->counted)
		return;
	tag->counted = false;
	account = find_account(last_account(sk, tag));
	if (!account)
		return;
	__sync_fetch_and_add(&account->of[RPD_CONN_closed], 1);
	if (error == ERR_RESET || error == ERR_PIPE)
		__sync_fetch_and_add(&account->of[RPD_CONN_reset_by_client], 1);
	else if ((error == 0 || error == ERR_ABORTED) &&
	         (oldstate == STATE_ESTABLISHED || oldstate == STATE_CLOSE_WAIT))
		__sync_fetch_and_add(&account->of[RPD_CONN_reset_by_worker], 1);
}

/* A worker's listener in one of the endpoints. */
static __always_inline void listener_closed(struct rpd_tag *tag)
{
	__u32 slot = tag->account % RPD_SLOT_MAX;
	struct rpd_worker *worker = bpf_map_lookup_elem(&workers, &slot);

	if (tag->counted || tag->account >= RPD_ACCOUNT_UNKNOWN)
		return;
	tag->counted = true; /* as closed */
	if (worker && worker->account == tag->account)
		event_note(RPD_EVENT_left, slot, worker->pid);
	else
		event_note(RPD_EVENT_former_left, slot, 0);
}

static __always_inline int state_changed(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	int oldstate = ctx[1], newstate = ctx[2];
	struct rpd_tag *tag;

	if (newstate != STATE_ESTABLISHED && newstate != STATE_CLOSE)
		return 0;
	tag = bpf_sk_storage_get(&tags, sk, 0, 0);
	if (!tag)
		return 0;
	if (newstate == STATE_ESTABLISHED)
		established(tag);
	else if (oldstate == STATE_LISTEN)
		listener_closed(tag);
	else
		ended(sk, tag, oldstate);
	return 0;
}

/*
 * The kernel doesn't run a tracing program that is running on this CPU already
 * (__bpf_trace_run()): an interrupt in the middle of a process's change of state would go
 * uncounted. So there are two, and each change is counted by the first of them that sees it. What
 * they add to can be added to in between, too.
 */
SEC("tp_btf/inet_sock_set_state")
int on_state(__u64 *ctx)
{
	return state_changed(ctx);
}

SEC("tp_btf/inet_sock_set_state")
int on_state_again(__u64 *ctx)
{
	return state_changed(ctx);
}

/*
 * Tags the connections that were open before, which user space has noted in map "moved". The socket
 * is locked meanwhile (bpf_iter_tcp_seq_show() in the kernel), so that it can't end unseen between
 * its tag and its count.
 */
SEC("iter/tcp")
int tag_found(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct rpd_account *account;
	struct rpd_moved *note;
	struct rpd_tag *tag;
	__u64 cookie;

	if (!sk || sk->skc_state == STATE_LISTEN)
		return 0;
	cookie = bpf_get_socket_cookie(sk);
	note = bpf_map_lookup_elem(&moved, &cookie);
	account = note ? find_account(note->account) : NULL;
	if (!account || note->taken)
		return 0;
	tag = bpf_sk_storage_get(&tags, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!tag || tag->counted)
		return 0;
	tag->account = note->account;
	tag->counted = true;
	note->taken = true;
	account->of[RPD_CONN_found]++;
	return 0;
}

/* Tells how many handshakes are under way at each tagged listener, and by a row without a cookie
 * that there are no more of them. */
SEC("iter/tcp")
int show_listener(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct rpd_handshakes row = {};
	struct inet_connection_sock *listener;

	if (!sk)
		return 0;
	if (sk->skc_state != STATE_LISTEN) { /* listeners come first: it may end here */
		bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
		return 0;
	}
	if (!bpf_sk_storage_get(&tags, sk, 0, 0))
		return 0;
	listener = (struct inet_connection_sock *)bpf_skc_to_tcp_sock(sk);
	if (!listener)
		return 0;
	row.cookie = bpf_get_socket_cookie(sk);
	row.under_way = listener->icsk_accept_queue.qlen.counter;
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
