/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The steering program: picks the worker's listener for each new connection of a reuseport group.
 *
 * The kernel runs it for a packet that finds no connection and no request socket, and, without a
 * packet, for each connection that is left in the queue of a listener that closes. It is loaded
 * once an endpoint: the socket array is the endpoint's own, all other maps are the service's.
 *
 * It never returns SK_PASS without a selection while an admitted worker lives: the kernel would
 * then hash over all members of the group, those that drain and strangers included.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/abi.h>
#include "conn_table.h"
#include "event_note.h"
#include "shared_maps.h"
#include "steer_pick.h"

/* ETH_P_IPV6 as sk_reuseport_md.eth_protocol has it, in network order. */
#define STEER_ETH_P_IPV6 bpf_htons(0x86dd)

#define STEER_AF_INET  2
#define STEER_AF_INET6 10

/* Ring entries to try before the search goes over to the list of all candidates. Each that has no
 * listener costs a failed selection, some 20 ns. */
#define STEER_RING_TRIES 32

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, RPD_SOCKS_MAX);
	__type(key, __u32);
	__type(value, __u64); /* 8 bytes: a look-up from user space gives the socket's cookie */
} socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct rpd_schedule);
} schedules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RPD_OUTCOME_MAX);
	__type(key, __u32);
	__type(value, struct rpd_tally);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RPD_SLOT_MAX + RPD_PROBE_MAX);
	__type(key, struct rpd_probe);
	__type(value, __u32);
} probes SEC(".maps");

/* Not read by the program; kept with it, so that the service's pins are one skeleton's maps. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rpd_service);
} service SEC(".maps");

/* Counts the run's one outcome and ends it. A CPU's tally has one writer: runs don't nest. */
static __always_inline int finish(__u32 row, enum rpd_outcome outcome, int verdict)
{
	__u32 key = outcome;
	struct rpd_tally *tally = bpf_map_lookup_elem(&counters, &key);

	if (tally && row < RPD_ROW_MAX)
		tally->of[row]++;
	return verdict;
}

static __always_inline bool take(struct sk_reuseport_md *ctx, __u32 slot)
{
	return bpf_sk_select_reuseport(ctx, &socks, &slot, 0) == 0;
}

static __always_inline struct rpd_schedule *schedule_in_force(struct rpd_control *ctl)
{
	__u32 active = *(volatile __u32 *)&ctl->active & 1;

	return bpf_map_lookup_elem(&schedules, &active);
}

/* Hash of the client's address. */
static __always_inline __u32 client_hash(struct sk_reuseport_md *ctx)
{
	__u32 addr[4] = {};

	if (ctx->eth_protocol == STEER_ETH_P_IPV6) {
		bpf_skb_load_bytes_relative(ctx, 8, addr, 16, BPF_HDR_START_NET);
		return pick_hash_v6(addr);
	}
	bpf_skb_load_bytes_relative(ctx, 12, addr, 4, BPF_HDR_START_NET);
	return pick_hash_v4(addr[0]);
}

static __always_inline enum pick_kind packet_kind(struct sk_reuseport_md *ctx)
{
	__u8 *tcp = ctx->data;
	__u8 flags = 0;

	if ((void *)(tcp + PICK_TCP_FLAGS_OFFSET + 1) <= ctx->data_end)
		flags = tcp[PICK_TCP_FLAGS_OFFSET];
	else /* not in the linear part */
		bpf_skb_load_bytes(ctx, PICK_TCP_FLAGS_OFFSET, &flags, sizeof(flags));
	return pick_kind(flags);
}

/* Where the packet comes from. */
static __always_inline void packet_source(struct sk_reuseport_md *ctx, struct rpd_probe *ret)
{
	__u16 port = 0;

	bpf_skb_load_bytes(ctx, 0, &port, sizeof(port));
	ret->port = bpf_ntohs(port);
	if (ctx->eth_protocol == STEER_ETH_P_IPV6) {
		ret->family = STEER_AF_INET6;
		bpf_skb_load_bytes_relative(ctx, 8, ret->addr, 16, BPF_HDR_START_NET);
	} else {
		ret->family = STEER_AF_INET;
		bpf_skb_load_bytes_relative(ctx, 12, ret->addr, 4, BPF_HDR_START_NET);
	}
}

/* The index of the listener that a probe is for; -1 if the packet is none's. */
__attribute__((noinline)) int steer_probe(struct sk_reuseport_md *ctx)
{
	struct rpd_probe source = {};
	__u32 *index;

	if (!ctx)
		return -1;
	packet_source(ctx, &source);
	index = bpf_map_lookup_elem(&probes, &source);
	return index ? (int)*index : -1;
}

/* Whether what a closed listener has left is a probe's connection. */
__attribute__((noinline)) int steer_probe_left(struct sk_reuseport_md *ctx)
{
	struct rpd_probe source = {.family = STEER_AF_INET};
	struct bpf_sock *child;

	if (!ctx)
		return 0;
	child = ctx->migrating_sk;
	if (!child)
		return 0;
	source.port = bpf_ntohs(child->dst_port);
	if (child->family == STEER_AF_INET) {
		*(__u32 *)source.addr = child->dst_ip4;
	} else if (child->dst_ip6[0] == 0 && child->dst_ip6[1] == 0 &&
	           child->dst_ip6[2] == bpf_htonl(0xffff)) {
		*(__u32 *)source.addr = child->dst_ip6[3];
	} else {
		source.family = STEER_AF_INET6;
		for (int i = 0; i < 4; i++)
			((__u32 *)source.addr)[i] = child->dst_ip6[i];
	}
	return bpf_map_lookup_elem(&probes, &source) != NULL;
}

static __always_inline struct rpd_schedule *find_schedule(void)
{
	__u32 zero = 0;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);

	return ctl ? schedule_in_force(ctl) : NULL;
}

/*
 * One look of steer_scan() and of steer_walk(). The long loops, and what they do at each step, are
 * for rare cases, and global functions: the verifier walks each of them once, and not on every path
 * that leads to it, or a thousand times. With that loading takes a tenth of the time.
 */
__attribute__((noinline)) int steer_look(struct sk_reuseport_md *ctx, __u32 at)
{
	struct rpd_schedule *sched = find_schedule();
	__u32 slot;

	if (!ctx || !sched)
		return -1;
	slot = sched->candidates[at & (RPD_SLOT_MAX - 1)];
	return take(ctx, slot) ? (int)slot : -1;
}

/* Takes the first of candidates[first .. first + count - 1] that has a listener, beginning at the
 * @start-th (pick_scan()); returns its slot, or -1. */
__attribute__((noinline)) int steer_scan(struct sk_reuseport_md *ctx, __u32 first, __u32 count,
                                         __u32 start)
{
	if (!ctx || count == 0)
		return -1;
	for (__u32 i = 0; i < RPD_SLOT_MAX + PICK_SCATTERED; i++) {
		int slot;

		if (i >= count + PICK_SCATTERED)
			break;
		slot = steer_look(ctx, first + pick_scan(start, i, count));
		if (slot >= 0)
			return slot;
	}
	return -1;
}

/* Any live worker: one of the ring if there is one, else one that is out of the ring. */
static __always_inline int take_any(struct sk_reuseport_md *ctx, const struct rpd_schedule *sched,
                                    __u32 start)
{
	__u32 in_ring = sched->n_ring_slots;
	int slot = steer_scan(ctx, 0, in_ring, start);

	if (slot < 0)
		slot = steer_scan(ctx, in_ring, sched->n_candidates - in_ring, start);
	return slot;
}

static __always_inline int drop(void)
{
	event_note(RPD_EVENT_dropped, RPD_NO_SLOT, 0);
	return finish(RPD_ROW_NONE, RPD_OUTCOME_dropped, SK_DROP);
}

/* No admitted worker lives. */
static __always_inline int nobody(const struct rpd_schedule *sched)
{
	if (sched->flags & RPD_STRICT)
		return drop();
	event_note(RPD_EVENT_fell_back, RPD_NO_SLOT, 0);
	return finish(RPD_ROW_NONE, RPD_OUTCOME_fell_back, SK_PASS);
}

/*
 * The connection goes over to the account of the slot's worker. What migrates may also be a
 * handshake, which is counted for the listener that ends it, or a connection that isn't counted or
 * has ended already: they are not in the table. The kernel holds the connection's socket meanwhile.
 */
static __always_inline void move_count(struct sk_reuseport_md *ctx, __u32 slot)
{
	struct rpd_worker *worker = bpf_map_lookup_elem(&workers, &slot);
	struct bpf_sock *child = ctx->migrating_sk;
	struct rpd_account *source, *target;
	__u64 *tag = child ? conn_find(child) : NULL;
	__u32 from, to;

	if (!tag || !worker)
		return;
	from = *tag & RPD_TAG_ACCOUNT;
	to = worker->account;
	source = bpf_map_lookup_elem(&accounts, &from);
	target = bpf_map_lookup_elem(&accounts, &to);
	if (from == to || !source || !target)
		return;
	*tag = (*tag & ~(__u64)RPD_TAG_ACCOUNT) | to;
	__sync_fetch_and_add(&source->of[RPD_CONN_moved_out], 1);
	__sync_fetch_and_add(&target->of[RPD_CONN_moved_in], 1);
}

/* A listener closed and left a connection or a handshake: to its version, else to anybody. */
static __always_inline int migrate(struct sk_reuseport_md *ctx, struct rpd_control *ctl,
                                   const struct rpd_schedule *sched)
{
	__u32 start = __sync_fetch_and_add(&ctl->aside, 1);
	__u64 cookie = bpf_get_socket_cookie(ctx->sk);
	struct rpd_member *member = bpf_map_lookup_elem(&members, &cookie);
	int slot = -1;

	if (ctl->n_probes && steer_probe_left(ctx))
		return finish(RPD_ROW_NONE, RPD_OUTCOME_dropped, SK_DROP);
	if (member && member->version < RPD_VERSION_MAX) {
		const struct rpd_version *version = &sched->versions[member->version];

		slot = steer_scan(ctx, version->first, version->count, start);
		if (slot < 0)
			slot = steer_scan(ctx, version->standby_first, version->standby_count,
			                  start);
	}
	if (slot < 0)
		slot = take_any(ctx, sched, start);
	if (slot >= 0) {
		move_count(ctx, slot);
		event_note(RPD_EVENT_migrated,
		           member && member->slot < RPD_SLOT_MAX ? member->slot : RPD_NO_SLOT, 0);
		return finish(slot, RPD_OUTCOME_migrated, SK_PASS);
	}
	if (take(ctx, RPD_SLOT_PARKING))
		return finish(RPD_ROW_PARKING, RPD_OUTCOME_migrated, SK_PASS);
	return nobody(sched);
}

static __always_inline enum rpd_outcome outcome_of(enum pick_kind kind, bool substitute)
{
	if (kind == PICK_COOKIE)
		return RPD_OUTCOME_cookie_ack;
	if (kind == PICK_STRAY)
		return RPD_OUTCOME_stray;
	return substitute ? RPD_OUTCOME_slot_gone : RPD_OUTCOME_steered;
}

/* The supervisor's listener has been taken. */
static __always_inline int park(enum pick_kind kind)
{
	return finish(RPD_ROW_PARKING,
	              kind == PICK_NEW ? RPD_OUTCOME_parked : outcome_of(kind, true), SK_PASS);
}

/* A probe tells of one worker only: if that is gone it fails, and what it left in that one's queue
 * goes to no other. */
static __always_inline int probe_packet(struct sk_reuseport_md *ctx, enum pick_kind kind, __u32 at)
{
	__u32 row = at < RPD_SLOT_MAX ? at : RPD_ROW_NONE;

	if (!take(ctx, at))
		return finish(RPD_ROW_NONE, RPD_OUTCOME_dropped, SK_DROP);
	return finish(row, kind == PICK_NEW ? RPD_OUTCOME_probed : outcome_of(kind, false),
	              SK_PASS);
}

/* Where in the ring this attempt looks. Each attempt draws a number of its own: connections that
 * run into a hole of the ring are so dealt evenly to all others, not to the hole's neighbour. */
static __always_inline __u32 ring_slot(struct sk_reuseport_md *ctx, struct rpd_control *ctl,
                                       const struct rpd_schedule *sched, enum pick_kind kind,
                                       __u32 client, __u32 attempt)
{
	__u64 at;

	if (sched->policy == RPD_STICKY)
		at = pick_sticky(client, attempt);
	else if (kind == PICK_NEW)
		at = __sync_fetch_and_add(&ctl->cursor, 1);
	else if (kind == PICK_COOKIE)
		at = __sync_fetch_and_add(&ctl->aside, 1);
	else
		at = ctx->hash + attempt;
	if (sched->ring_len) /* a new schedule may have come into force since the last look */
		at %= sched->ring_len;
	return sched->ring[at & (RPD_RING_MAX - 1)];
}

/* The slot of this attempt, if it has a listener, which is then taken; -1 if not. */
__attribute__((noinline)) int steer_step(struct sk_reuseport_md *ctx, __u32 kind, __u32 client,
                                         __u32 attempt)
{
	__u32 zero = 0;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct rpd_schedule *sched = ctl ? schedule_in_force(ctl) : NULL;
	__u32 slot;

	if (!ctx || !sched)
		return -1;
	slot = ring_slot(ctx, ctl, sched, kind, client, attempt);
	return take(ctx, slot) ? (int)slot : -1;
}

/* Goes on along the ring after its entry of attempt 0 had no listener; returns the slot that was
 * taken, or -1. The ring has such entries only until the next command or the watcher has made a
 * new one. */
__attribute__((noinline)) int steer_walk(struct sk_reuseport_md *ctx, __u32 kind, __u32 client)
{
	struct rpd_schedule *sched = find_schedule();

	if (!ctx || !sched)
		return -1;
	for (__u32 attempt = 1; attempt < STEER_RING_TRIES; attempt++) {
		int slot;

		if (attempt > sched->ring_len)
			break;
		slot = steer_step(ctx, kind, client, attempt);
		if (slot >= 0)
			return slot;
	}
	return -1;
}

static __always_inline int steer_packet(struct sk_reuseport_md *ctx, struct rpd_control *ctl,
                                        const struct rpd_schedule *sched)
{
	enum pick_kind kind = packet_kind(ctx);
	__u32 client;
	int slot;

	if (ctl->n_probes) { /* in the cache line of `active` */
		slot = steer_probe(ctx);
		if (slot >= 0)
			return probe_packet(ctx, kind, slot);
	}
	if (sched->ring_len == 0) /* none by the user's will, or none that was ever there */
		return !sched->n_candidates && take(ctx, RPD_SLOT_PARKING) ? park(kind) : drop();
	client = sched->policy == RPD_STICKY ? client_hash(ctx) : 0;
	slot = ring_slot(ctx, ctl, sched, kind, client, 0);
	if (take(ctx, slot))
		return finish(slot, outcome_of(kind, false), SK_PASS);
	slot = steer_walk(ctx, kind, client);
	if (slot < 0)
		slot = take_any(ctx, sched, sched->policy == RPD_STICKY ? client : ctx->hash);
	if (slot >= 0)
		return finish(slot, outcome_of(kind, true), SK_PASS);
	if (take(ctx, RPD_SLOT_PARKING))
		return park(kind);
	return nobody(sched);
}

SEC("sk_reuseport/migrate")
int steer(struct sk_reuseport_md *ctx)
{
	__u32 zero = 0;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct rpd_schedule *sched = ctl ? schedule_in_force(ctl) : NULL;

	if (!sched) /* unreachable: both maps are arrays */
		return SK_DROP;
	if (ctx->migrating_sk)
		return migrate(ctx, ctl, sched);
	return steer_packet(ctx, ctl, sched);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
