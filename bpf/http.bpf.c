/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Counts the HTTP/1 responses of each worker, by class of status, and the time from the last packet
 * of the request to the first packet of the response, which includes the wait in the accept queue.
 * Also counts all requests, and requests without a response after a time. The workers need no
 * change for it.
 *
 * Two programs on the workers' cgroup see each packet that their sockets get and send.
 * http_exchange.h decides what begins a response, and says what can be known. The worker is known
 * by the connection's account (conn_table.h), so all workers may be in one cgroup; a connection
 * that is not counted there isn't looked at. Neither are probes of the supervisor, which would
 * judge its own requests, and clients in map "ignored".
 *
 * What is known of a connection is in its socket's storage, from the first packet with data on. A
 * packet that arrives with the end of the handshake belongs to the listener for these programs, and
 * goes unseen. The programs change only numbers: they let each packet pass.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/response_abi.h>
#include "conn_table.h"
#include "http_exchange.h"
#include "http_packet.h"
#include "probe_map.h"
#include "rate.h"
#include "shared_maps.h"

#define HTTP_PASS 1

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct http_exchange);
} exchanges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RESPONSE_PLACES);
	__type(key, __u32);
	__type(value, struct rpd_responses);
} responses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RESPONSE_ROWS_MAX);
	__type(key, __u32);
	__type(value, struct rpd_requests);
} requests SEC(".maps");

/* When both programs were attached, in RPD_TAG_TICKs: they have seen all packets of a connection
 * that is younger. User space sets it. */
__u64 attached_at = -1ull;

static __always_inline bool http_is_our_port(__u32 port)
{
	__u32 zero = 0;
	struct rpd_ports *our = bpf_map_lookup_elem(&ports, &zero);

	return our && our->has[(port & 0xffff) / 64] >> port % 64 & 1;
}

/* Makes the exchange of a connection; NULL if the connection is not counted. */
static __always_inline struct http_exchange *http_begin(struct bpf_sock *sk)
{
	struct rpd_control *ctl = conn_table_control();
	const __u64 *tag = conn_table_find(sk);
	struct http_exchange *it;

	if (!ctl || !tag || (*tag & RPD_TAG_ACCOUNT) == RPD_TAG_NONE)
		return NULL;
	it = bpf_sk_storage_get(&exchanges, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!it)
		return NULL;
	if (*tag & RPD_TAG_IGNORED || (ctl->n_probes && probe_is_of(sk)))
		it->flags = HTTP_OPAQUE;
	else if (*tag >> RPD_TAG_BITS > attached_at)
		it->flags = HTTP_FRESH;
	return it;
}

/* Finds the exchange that a packet belongs to, and reads its segment. Returns NULL if there is
 * nothing to look at. */
static __always_inline struct http_exchange *
http_find_exchange(struct __sk_buff *skb, struct bpf_sock *sk, struct http_segment *ret)
{
	const __u32 at = http_packet_read(skb, ret);
	struct http_exchange *it;

	if (!at)
		return NULL;
	it = bpf_sk_storage_get(&exchanges, sk, NULL, 0);
	if (it ? it->flags & HTTP_OPAQUE : !http_is_our_port(sk->src_port))
		return NULL;
	if (!http_packet_read_head(skb, at, ret))
		return NULL;
	return it ? it : http_begin(sk);
}

/* The compiler forgets what it knows of the value, and so leaves the checks of its range in the
 * program, which the verifier needs. */
#define HTTP_FORGET(value) asm volatile("" : "+r"(value))

/* The connection's account. It stays the same when the server has sent something, as a connection
 * migrates only before it is accepted. */
static __always_inline __u32 http_account(struct bpf_sock *sk, struct http_exchange *it)
{
	const __u64 *tag;
	__u32 account;

	if (it->flags & HTTP_SETTLED)
		return it->account;
	tag = conn_table_find(sk);
	account = tag ? *tag & RPD_TAG_ACCOUNT : RPD_TAG_NONE;
	if (it->flags & HTTP_OPEN)
		return account;
	it->account = account;
	if (it->flags & HTTP_SENT)
		it->flags |= HTTP_SETTLED;
	return account;
}

/* Keeps the numbers of requests that are due, after a packet. */
static __always_inline void http_track(struct bpf_sock *sk, struct http_exchange *it, __u64 now)
{
	const __u32 tick = it->asked_at >> RESPONSE_TICK_LOG;
	const bool is_open = it->flags & HTTP_OPEN, is_due = http_exchange_is_due(it);
	struct rpd_requests *row;
	__u32 account;

	if (is_open == is_due && (!is_due || tick == it->due_tick))
		return;
	account = is_open ? it->account : http_account(sk, it);
	row = bpf_map_lookup_elem(&requests, &account);
	if (!row)
		return;
	if (!is_due) {
		it->flags &= ~HTTP_OPEN;
		response_due_remove(row, it->due_tick, now >> RESPONSE_TICK_LOG);
	} else if (is_open) {
		it->due_tick = response_due_move(row, it->due_tick, tick);
	} else {
		it->flags |= HTTP_OPEN;
		it->due_tick = tick;
		__sync_fetch_and_add(&row->asked, 1);
		response_due_add(row, tick);
	}
}

/* The account's part of map "responses"; NULL if it has none. */
static __always_inline struct rpd_responses *http_find_responses(__u32 account)
{
	const struct rpd_requests *row = bpf_map_lookup_elem(&requests, &account);
	__u32 place = row ? row->place : 0;

	return place ? bpf_map_lookup_elem(&responses, &place) : NULL;
}

static __always_inline void http_count(__u32 account, __u32 class, __u64 now, __u64 ns)
{
	struct rpd_responses *row = http_find_responses(account);
	__u32 bucket;

	HTTP_FORGET(class);
	if (!row || class >= RESPONSE_CLASS_MAX)
		return;
	__sync_fetch_and_add(&row->of[class], 1);
	if (class != 1)
		rate_count(&row->rate, now);
	bucket = response_bucket(ns);
	HTTP_FORGET(bucket);
	if (!ns || bucket >= RESPONSE_BUCKETS)
		return;
	__sync_fetch_and_add(&row->time_ns, ns);
	__sync_fetch_and_add(&row->times[bucket], 1);
}

/* Whether the segment has the byte that TCP waits for, or follows one that had it: TCP puts packets
 * aside while the worker is in a system call with its socket. The program runs before TCP checks
 * the sequence number, which may be forged: then it must not decide what has come. Other segments
 * are left out, too: what came before, and what comes out of order. A client that does not pipeline
 * begins no request out of order, as it has got the whole response to the last one. TCP is asked
 * only if the segment does not follow the last one. */
static __always_inline bool http_is_next(struct bpf_sock *sk, const struct http_exchange *it,
                                         const struct http_segment *segment)
{
	const struct bpf_tcp_sock *tcp;

	if (it->flags & HTTP_CAME && segment->seq == it->received)
		return true;
	tcp = bpf_tcp_sock(sk);
	return tcp && http_exchange_is_before(tcp->rcv_nxt, segment->end) &&
	       !http_exchange_is_before(tcp->rcv_nxt, segment->seq);
}

/* The time when TCP sends a packet: TCP has noted it there, by the same clock, so the program need
 * not read the clock, which takes 60 ns. More of the request may have come in between. */
static __always_inline __u64 http_sent_at(struct __sk_buff *skb, const struct http_exchange *it)
{
	const __u64 at = skb->tstamp;

	if (!at)
		return bpf_ktime_get_ns();
	return at > it->asked_at ? at : it->asked_at + 1;
}

SEC("cgroup_skb/ingress")
int rpd_http_in(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct http_segment segment = {};
	struct http_exchange *it = sk ? http_find_exchange(skb, sk, &segment) : NULL;
	__u64 now;

	if (!it || !http_is_next(sk, it, &segment))
		return HTTP_PASS;
	now = bpf_ktime_get_ns();
	http_exchange_receive(it, &segment, now);
	http_track(sk, it, now);
	return HTTP_PASS;
}

SEC("cgroup_skb/egress")
int rpd_http_out(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct http_segment segment = {};
	struct http_exchange *it = sk ? http_find_exchange(skb, sk, &segment) : NULL;
	__u64 ns = 0, now;
	int class;

	if (!it)
		return HTTP_PASS;
	now = http_sent_at(skb, it);
	class = http_exchange_send(it, &segment, now, &ns);
	http_track(sk, it, now);
	if (class != HTTP_NO_RESPONSE)
		http_count(http_account(sk, it), class, now, ns);
	return HTTP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
