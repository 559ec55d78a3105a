/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Counts each worker's connections. The workers need no change for it.
 *
 * on_state() sees every change of a TCP socket's state. When a listener makes a connection, the
 * kernel copies the listener's socket, and reports the copy's first state before it has initialised
 * the copy's lists: the empty list of sent segments still points to the listener's. So the program
 * knows which listener made the connection, and keeps that in a table (conn_table.h) until the
 * connection ends. The kernel makes the copy when the handshake is complete and establishes it at
 * once (with TCP Fast Open at the SYN). The connection is therefore counted as opened at the copy,
 * which saves a search of the table later; in the rare case that it is never established, the count
 * is corrected.
 *
 * Why a BTF tracepoint and not the STATE callback of sockops: both see the same (the counts were
 * identical for every way to end a connection). But sockops would have to be attached to the root
 * cgroup, because the workers can be anywhere, and runs there some six times for each connection of
 * the host, a client's or a worker's; the tracepoint runs for changes of state only. And sockops
 * sees a connection too late to know its listener.
 *
 * The cost, measured in turns on the same processes: Linux 6.18, two cores with retpolines, C
 * workers, the client on the same host, so eight changes of state for each connection, which takes
 * 37 us of CPU. In microseconds for each connection:
 *
 *   one empty program                        0.4 to 0.5   eight times the kernel's way to a program
 *   two empty programs                       0.7 to 0.8
 *   the two programs here                    1.2 to 1.6
 *   tags in socket storage, no program       1.2          BPF_F_CLONE copies for each connection
 *   tags in socket storage, two programs     2.7 to 2.8
 *   a hash map by socket, two programs       2.5
 *
 * Steering doesn't depend on this program: without it steering goes on, uncounted.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/abi.h>
#include "conn_table.h"
#include "event_note.h"
#include "kernel_types.h"
#include "rate.h"
#include "shared_maps.h"

/* include/net/tcp_states.h and errno.h of the kernel. */
#define FAMILY_INET6      10
#define STATE_ESTABLISHED 1
#define STATE_SYN_SENT    2
#define STATE_SYN_RECV    3
#define STATE_CLOSE       7
#define STATE_CLOSE_WAIT  8
#define STATE_LISTEN      10
#define ERR_PIPE          32
#define ERR_ABORTED       103
#define ERR_RESET         104

/* The connections that were open before the counting began. User space fills it for tag_found()
 * only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct rpd_found);
} found SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RPD_SLOT_MAX);
	__type(key, __u32);
	__type(value, struct rpd_rate);
} rates SEC(".maps");

static __always_inline struct rpd_account *conn_find_account(__u32 account)
{
	return bpf_map_lookup_elem(&accounts, &account);
}

/* Counts a connection in the current second. */
static __always_inline void conn_count_rate(__u32 account, __u64 now)
{
	__u32 slot = account % RPD_SLOT_MAX;
	struct rpd_rate *rate;

	if (account >= RPD_ACCOUNT_UNKNOWN)
		return;
	rate = bpf_map_lookup_elem(&rates, &slot);
	if (rate)
		rate_count(rate, now);
}

/* The last connection that did not fit into the table. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} refused SEC(".maps");

/* Counts a connection that does not fit into the table. It is in no table, so the second program
 * can't see there that the first one has counted it. */
static __always_inline void conn_note_uncounted(const struct sock *sk, struct rpd_account *account)
{
	__u32 zero = 0;
	__u64 *last = bpf_map_lookup_elem(&refused, &zero);

	if (last && *last == (__u64)sk) {
		*last = 0;
		return;
	}
	if (last)
		*last = (__u64)sk;
	__sync_fetch_and_add(&account->of[RPD_CONN_uncounted], 1);
}

/* Finds the account of a listener's connections; NULL if the listener isn't the service's. @sent:
 * the address of the listener's list, which only the copy has. */
static __always_inline struct rpd_member *conn_find_member(const struct list_head *sent)
{
	__u64 cookie = 0;

	bpf_probe_read_kernel(&cookie, sizeof(cookie),
	                      (const char *)sent -
	                              bpf_core_field_offset(struct tcp_sock, tsorted_sent_queue) +
	                              bpf_core_field_offset(struct sock, __sk_common.skc_cookie));
	return bpf_map_lookup_elem(&members, &cookie);
}

static __always_inline __u64 conn_make_tag(__u32 account, __u64 since)
{
	struct rpd_control *ctl = conn_table_control();

	return since >> RPD_TAG_TICK_LOG << RPD_TAG_BITS |
	       (ctl && ctl->counting_loads ? RPD_TAG_LOAD : 0) | account;
}

/* Adds the connection to the table. Returns false if there is no room. */
static __always_inline bool conn_enter(const struct sock *sk, __u64 *leftover, __u64 tag)
{
	if (leftover)
		*leftover = tag;
	else if (!conn_table_add(sk, tag))
		return false;
	load_add(tag, 1);
	return true;
}

/* Handles a socket that the kernel has just copied from a listener. */
static __always_inline void conn_begin(struct sock *sk)
{
	__u64 *tag = conn_table_find(sk), now;
	struct rpd_account *account;
	struct rpd_member *member;
	struct tcp_sock *tcp;

	if (tag && *tag != RPD_TAG_NONE) /* the other program has counted it */
		return;
	tcp = bpf_skc_to_tcp_sock(sk);
	member = tcp ? conn_find_member(tcp->tsorted_sent_queue.next) : NULL;
	account = member ? conn_find_account(member->account) : NULL;
	if (!account)
		return;
	now = bpf_ktime_get_ns();
	if (!conn_enter(sk, tag, conn_make_tag(member->account, now))) {
		conn_note_uncounted(sk, account);
		return;
	}
	__sync_fetch_and_add(&account->of[RPD_CONN_opened], 1);
	conn_count_rate(member->account, now);
}

/* Counts a reset by the worker of a connection with this tag. */
static __always_inline void conn_note_reset(struct rpd_account *account, __u64 tag)
{
	__u32 number = tag & RPD_TAG_ACCOUNT;
	struct rpd_load *load = tag & RPD_TAG_IGNORED ? bpf_map_lookup_elem(&loads, &number) : NULL;

	__sync_fetch_and_add(&account->of[RPD_CONN_reset_by_worker], 1);
	if (load)
		__sync_fetch_and_add(&load->ignored_resets, 1);
	if (tag & RPD_TAG_LOAD)
		load_note_reset(number);
}

/*
 * A connection that ends without a FIN of its own was reset. The client has reset it if the kernel
 * has noted that as the socket's error (tcp_reset(): EPIPE if the client had sent a FIN before).
 * Otherwise the worker's side has: its socket goes to CLOSE from a state before its FIN
 * (tcp_close() with unread data, tcp_disconnect() for SO_LINGER 0 and for what a listener leaves in
 * its queue, tcp_abort()). A connection that timed out has another error, and counts as neither.
 */
static __always_inline void conn_end(struct sock *sk, int oldstate)
{
	const __u64 tag = conn_table_remove(sk);
	const __u32 number = tag & RPD_TAG_ACCOUNT;
	struct rpd_account *account;
	int error = sk->sk_err;

	if (number == RPD_TAG_NONE) /* the other program has counted it */
		return;
	account = conn_find_account(number);
	if (!account)
		return;
	load_add(tag, -1);
	if (oldstate == STATE_SYN_RECV) {
		__sync_fetch_and_add(&account->of[RPD_CONN_opened], -1);
		return;
	}
	__sync_fetch_and_add(&account->of[RPD_CONN_closed], 1);
	if (error == ERR_RESET || error == ERR_PIPE) {
		__sync_fetch_and_add(&account->of[RPD_CONN_reset_by_client], 1);
	} else if ((error == 0 || error == ERR_ABORTED) &&
	           (oldstate == STATE_ESTABLISHED || oldstate == STATE_CLOSE_WAIT)) {
		conn_note_reset(account, tag);
	}
}

/* Handles the end of any listener; only a worker's listener matters. */
static __always_inline void conn_note_listener_closed(struct sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct rpd_member *member = bpf_map_lookup_elem(&members, &cookie);
	const struct rpd_schedule *sched = schedule_find();
	struct rpd_worker *worker;
	__u32 slot;

	if (!sched || !member || member->left || member->slot >= RPD_SLOT_MAX)
		return;
	member->left = true;
	slot = member->slot;
	worker = schedule_find_worker(sched, slot);
	if (worker && worker->account == member->account)
		event_note(RPD_EVENT_left, slot, worker->pid);
	else
		event_note(RPD_EVENT_former_left, slot, 0);
}

/* Most sockets of the host are not the service's: this test keeps their cost low. */
static __always_inline bool conn_is_our_port(__u16 port)
{
	__u32 zero = 0;
	struct rpd_ports *our = bpf_map_lookup_elem(&ports, &zero);

	return our && our->has[port / 64] >> port % 64 & 1;
}

/* Reads the client's address, in the form of rpd_net.addr. */
static __always_inline void conn_read_client(const struct sock *sk, __u32 addr[4])
{
	if (sk->__sk_common.skc_family == FAMILY_INET6) {
		bpf_probe_read_kernel(
		        addr, 16,
		        (const char *)sk +
		                bpf_core_field_offset(struct sock, __sk_common.skc_v6_daddr));
		return;
	}
	addr[0] = addr[1] = 0;
	addr[2] = bpf_htonl(0xffff);
	addr[3] = sk->__sk_common.skc_daddr;
}

/* Handles a connection that is established; by now its socket has the client's address. */
static __always_inline void conn_note_established(const struct sock *sk)
{
	struct rpd_control *ctl = conn_table_control();
	const struct rpd_ignored *list;
	__u32 zero = 0, account, addr[4];
	struct rpd_load *load;
	__u64 *tag;

	if (!ctl || !ctl->n_ignored || !conn_is_our_port(sk->__sk_common.skc_num))
		return;
	conn_read_client(sk, addr);
	list = bpf_map_lookup_elem(&ignored, &zero);
	if (!list || !rpd_ignored_has(list, addr))
		return;
	tag = conn_table_find(sk);
	if (!tag || *tag == RPD_TAG_NONE || *tag & RPD_TAG_IGNORED) /* the other program has */
		return;
	*tag |= RPD_TAG_IGNORED;
	account = *tag & RPD_TAG_ACCOUNT;
	load = bpf_map_lookup_elem(&loads, &account);
	if (load)
		__sync_fetch_and_add(&load->ignored_opened, 1);
}

/* By now the socket may have given up its port; inet_sport is still there. */
static __always_inline bool conn_had_our_port(struct sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	return tcp && conn_is_our_port(bpf_ntohs(tcp->inet_conn.icsk_inet.inet_sport));
}

static __always_inline int conn_handle_state(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	int oldstate = ctx[1], newstate = ctx[2];

	if (newstate == STATE_SYN_RECV) {
		if (oldstate == STATE_LISTEN && conn_is_our_port(sk->__sk_common.skc_num))
			conn_begin(sk);
	} else if (newstate == STATE_ESTABLISHED) {
		if (oldstate == STATE_SYN_RECV)
			conn_note_established(sk);
	} else if (newstate == STATE_CLOSE) {
		if (oldstate == STATE_LISTEN)
			conn_note_listener_closed(sk);
		else if (oldstate != STATE_SYN_SENT && conn_had_our_port(sk))
			conn_end(sk, oldstate);
	}
	return 0;
}

/*
 * The kernel doesn't run a tracing program that is running on this CPU already (__bpf_trace_run(),
 * since Linux 6.1). A change of state by an interrupt, in the middle of a process's change of
 * state, would then go uncounted. So there are two programs, and the first of them that sees a
 * change counts it. The counters are added to atomically, as the other program may run in between.
 */
SEC("tp_btf/inet_sock_set_state")
int on_state(__u64 *ctx)
{
	return conn_handle_state(ctx);
}

SEC("tp_btf/inet_sock_set_state")
int on_state_again(__u64 *ctx)
{
	return conn_handle_state(ctx);
}

/* Whether @sk is a full socket; a socket in TIME_WAIT is not. */
static __always_inline bool conn_is_connection(struct sock_common *sk)
{
	return sk->skc_state != STATE_LISTEN && bpf_skc_to_tcp_sock(sk);
}

/*
 * Adds the connections that were open before, which user space has put into map "found". The kernel
 * locks the socket during the run (bpf_iter_tcp_seq_show()), so the connection can't end unseen.
 */
SEC("iter/tcp")
int tag_found(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct rpd_account *account;
	struct rpd_found *note;
	__u64 cookie, *tag;

	if (!sk || !conn_is_connection(sk))
		return 0;
	cookie = bpf_get_socket_cookie(sk);
	note = bpf_map_lookup_elem(&found, &cookie);
	account = note ? conn_find_account(note->account) : NULL;
	tag = account ? conn_table_find(sk) : NULL;
	if (!account || (tag && *tag != RPD_TAG_NONE))
		return 0;
	if (!conn_enter((struct sock *)sk, tag, conn_make_tag(note->account, 0))) {
		__sync_fetch_and_add(&account->of[RPD_CONN_uncounted], 1);
		return 0;
	}
	__sync_fetch_and_add(&account->of[RPD_CONN_found], 1);
	return 0;
}

/* Counts a connection in map "loads" that began when connections were not counted there. */
static __always_inline void conn_complete_load(__u64 *tag)
{
	struct rpd_control *ctl = conn_table_control();

	if (!ctl || !ctl->counting_loads || *tag & RPD_TAG_LOAD || *tag == RPD_TAG_NONE)
		return;
	*tag |= RPD_TAG_LOAD;
	load_add(*tag, 1);
}

/* Writes a row for each connection in the table. The kernel locks the socket, as for tag_found().
 */
SEC("iter/tcp")
int show_open(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct rpd_open row = {};
	__u64 *tag;

	if (!sk || !conn_is_our_port(sk->skc_num) || !conn_is_connection(sk))
		return 0;
	tag = conn_table_find(sk);
	if (!tag)
		return 0;
	conn_complete_load(tag);
	row.cookie = bpf_get_socket_cookie(sk);
	row.tag = *tag;
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
