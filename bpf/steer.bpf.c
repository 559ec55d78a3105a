/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The steering program: picks the worker's listener for each new connection of a reuseport group.
 *
 * The kernel runs it for a packet that belongs to no connection and to no request socket; and,
 * without a packet, for each connection that a listener leaves in its queue when it closes. User
 * space loads it once for each endpoint: the socket array is the endpoint's own, all other maps
 * are the service's.
 *
 * It never returns SK_PASS without a selection while an admitted worker lives. The kernel would
 * then hash over all members of the group, draining workers and foreign listeners included.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <reuseportd/abi.h>
#include "conn_table.h"
#include "event_note.h"
#include "probe_map.h"
#include "shared_maps.h"
#include "steer_least.h"
#include "steer_pass.h"
#include "steer_pick.h"
#include "steer_search.h"

/* ETH_P_IPV6 as sk_reuseport_md.eth_protocol has it, in network order. */
#define STEER_ETH_P_IPV6 bpf_htons(0x86dd)

/* How many ring entries to try before the search of all candidates. Each entry without a listener
 * costs a failed selection, some 20 ns. */
#define STEER_RING_TRIES 32

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RPD_OUTCOME_MAX);
	__type(key, __u32);
	__type(value, struct rpd_tally);
} counters SEC(".maps");

/* The program does not read these two. They are here so that one skeleton has all maps that a
 * service pins. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RPD_FORMER_MAX);
	__type(key, __u32);
	__type(value, struct rpd_former);
} former SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rpd_service);
} service SEC(".maps");

/* Counts the outcome of the run and ends it. A CPU's tally has one writer, because runs don't nest.
 */
static __always_inline int steer_finish(__u32 row, enum rpd_outcome outcome, int verdict)
{
	__u32 key = outcome;
	struct rpd_tally *tally = bpf_map_lookup_elem(&counters, &key);

	if (tally && row < RPD_ROW_MAX)
		tally->of[row]++;
	return verdict;
}

static __always_inline __u32 steer_hash_client(struct sk_reuseport_md *ctx)
{
	__u32 addr[4] = {};

	if (ctx->eth_protocol == STEER_ETH_P_IPV6) {
		bpf_skb_load_bytes_relative(ctx, 8, addr, 16, BPF_HDR_START_NET);
		return steer_pick_hash_v6(addr);
	}
	bpf_skb_load_bytes_relative(ctx, 12, addr, 4, BPF_HDR_START_NET);
	return steer_pick_hash_v4(addr[0]);
}

static __always_inline enum pick_kind steer_classify(struct sk_reuseport_md *ctx)
{
	__u8 *tcp = ctx->data;
	__u8 flags = 0;

	if ((void *)(tcp + PICK_TCP_FLAGS_OFFSET + 1) <= ctx->data_end)
		flags = tcp[PICK_TCP_FLAGS_OFFSET];
	else /* not in the linear part */
		bpf_skb_load_bytes(ctx, PICK_TCP_FLAGS_OFFSET, &flags, sizeof(flags));
	return steer_pick_kind(flags);
}

static __always_inline void steer_read_source(struct sk_reuseport_md *ctx, struct rpd_probe *ret)
{
	__u16 port = 0;

	bpf_skb_load_bytes(ctx, 0, &port, sizeof(port));
	ret->port = bpf_ntohs(port);
	if (ctx->eth_protocol == STEER_ETH_P_IPV6) {
		ret->family = PROBE_AF_INET6;
		bpf_skb_load_bytes_relative(ctx, 8, ret->addr, 16, BPF_HDR_START_NET);
	} else {
		ret->family = PROBE_AF_INET;
		bpf_skb_load_bytes_relative(ctx, 12, ret->addr, 4, BPF_HDR_START_NET);
	}
}

/* The slot, or RPD_SLOT_PROBE + n, that the packet's probe is for; -1 if the packet belongs to no
 * probe. */
__attribute__((noinline)) int steer_find_probe(struct sk_reuseport_md *ctx)
{
	struct rpd_probe source = {};
	__u32 *index;

	if (!ctx)
		return -1;
	steer_read_source(ctx, &source);
	index = bpf_map_lookup_elem(&probes, &source);
	return index ? (int)*index : -1;
}

/* Whether the migrating connection is a probe's. */
__attribute__((noinline)) int steer_was_probed(struct sk_reuseport_md *ctx)
{
	struct bpf_sock *child;

	if (!ctx)
		return 0;
	child = ctx->migrating_sk;
	return child && probe_is_of(child);
}

static __always_inline int steer_drop(void)
{
	event_note(RPD_EVENT_dropped, RPD_NO_SLOT, 0);
	return steer_finish(RPD_ROW_NONE, RPD_OUTCOME_dropped, SK_DROP);
}

/* No admitted worker lives. */
static __always_inline int steer_fall_back(const struct rpd_schedule *sched)
{
	if (sched->flags & RPD_STRICT)
		return steer_drop();
	event_note(RPD_EVENT_fell_back, RPD_NO_SLOT, 0);
	return steer_finish(RPD_ROW_NONE, RPD_OUTCOME_fell_back, SK_PASS);
}

/*
 * Moves a migrating connection to the account of the slot's worker. Only connections in the table
 * move. A handshake can migrate too: it is counted for the listener that completes it. The kernel
 * holds the connection's socket during the run.
 */
static __always_inline void steer_move_count(struct sk_reuseport_md *ctx,
                                             const struct rpd_schedule *sched, __u32 slot)
{
	struct rpd_worker *worker = schedule_find_worker(sched, slot);
	struct bpf_sock *child = ctx->migrating_sk;
	struct rpd_account *source, *target;
	__u64 *tag = child ? conn_table_find(child) : NULL;
	__u32 from, to;

	if (!tag || !worker)
		return;
	from = *tag & RPD_TAG_ACCOUNT;
	to = worker->account;
	source = bpf_map_lookup_elem(&accounts, &from);
	target = bpf_map_lookup_elem(&accounts, &to);
	if (from == to || !source || !target)
		return;
	load_add(*tag, -1);
	*tag = (*tag & ~(__u64)RPD_TAG_ACCOUNT) | to;
	load_add(*tag, 1);
	__sync_fetch_and_add(&source->of[RPD_CONN_moved_out], 1);
	__sync_fetch_and_add(&target->of[RPD_CONN_moved_in], 1);
}

/* A listener closed and left a connection or a handshake: selects a worker of the same version, or
 * if there is none, any worker. */
static __always_inline int steer_migrate(struct sk_reuseport_md *ctx, struct rpd_control *ctl,
                                         const struct rpd_schedule *sched)
{
	__u32 start = __sync_fetch_and_add(&ctl->aside, 1);
	__u64 cookie = bpf_get_socket_cookie(ctx->sk);
	struct rpd_member *member = bpf_map_lookup_elem(&members, &cookie);
	int slot = -1;

	if (ctl->n_probes && steer_was_probed(ctx))
		return steer_finish(RPD_ROW_NONE, RPD_OUTCOME_dropped, SK_DROP);
	if (member && member->version < RPD_VERSION_MAX) {
		const struct rpd_version *version = &sched->versions[member->version];

		slot = steer_scan(ctx, version->first, version->count, start);
		if (slot < 0)
			slot = steer_scan(ctx, version->standby_first, version->standby_count,
			                  start);
	}
	if (slot < 0)
		slot = steer_select_any(ctx, sched, start);
	if (slot >= 0) {
		steer_move_count(ctx, sched, slot);
		event_note(RPD_EVENT_migrated,
		           member && member->slot < RPD_SLOT_MAX ? member->slot : RPD_NO_SLOT, 0);
		return steer_finish(slot, RPD_OUTCOME_migrated, SK_PASS);
	}
	if (steer_select_parking(ctx))
		return steer_finish(RPD_ROW_PARKING, RPD_OUTCOME_migrated, SK_PASS);
	return steer_fall_back(sched);
}

/* @of_syn: the outcome if the packet begins a connection. */
static __always_inline enum rpd_outcome steer_outcome(enum pick_kind kind, enum rpd_outcome of_syn)
{
	if (kind == PICK_COOKIE)
		return RPD_OUTCOME_cookie_ack;
	return kind == PICK_STRAY ? RPD_OUTCOME_stray : of_syn;
}

/* Ends a run that has selected the supervisor's parking listener. */
static __always_inline int steer_park(enum pick_kind kind)
{
	return steer_finish(RPD_ROW_PARKING, steer_outcome(kind, RPD_OUTCOME_parked), SK_PASS);
}

/* A probe is for one worker only: without that worker's listener it fails, and it never migrates to
 * another worker. */
static __always_inline int steer_probe_packet(struct sk_reuseport_md *ctx,
                                              const struct rpd_schedule *sched, enum pick_kind kind,
                                              __u32 at)
{
	__u32 row = at < RPD_SLOT_MAX ? at : RPD_ROW_NONE;

	if (!steer_select_cell(ctx, rpd_cell(sched, at)))
		return steer_finish(RPD_ROW_NONE, RPD_OUTCOME_dropped, SK_DROP);
	return steer_finish(row, steer_outcome(kind, RPD_OUTCOME_probed), SK_PASS);
}

/* The entry of the ring for this attempt. Each attempt takes a cursor value of its own. So
 * connections that meet a slot without a listener are spread evenly over all other slots, and don't
 * all go to its neighbour. */
static __always_inline __u32 steer_ring_entry(struct sk_reuseport_md *ctx, struct rpd_control *ctl,
                                              const struct rpd_schedule *sched, enum pick_kind kind,
                                              __u32 client, __u32 attempt)
{
	__u64 at;

	if (sched->policy == RPD_STICKY)
		at = steer_pick_sticky(client, attempt);
	else if (kind == PICK_NEW)
		at = __sync_fetch_and_add(&ctl->cursor, 1);
	else if (kind == PICK_COOKIE)
		at = __sync_fetch_and_add(&ctl->aside, 1);
	else
		at = ctx->hash + attempt;
	if (sched->ring_len) /* the schedule may have changed since the last attempt */
		at %= sched->ring_len;
	return at & (RPD_RING_MAX - 1);
}

/* Selects the slot of this attempt; returns it, or -1 if it has no listener. */
__attribute__((noinline)) int steer_try_ring(struct sk_reuseport_md *ctx, __u32 kind, __u32 client,
                                             __u32 attempt)
{
	__u32 zero = 0;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct rpd_schedule *sched = ctl ? schedule_get(ctl) : NULL;
	__u32 slot;

	if (!ctx || !sched)
		return -1;
	slot = sched->ring[steer_ring_entry(ctx, ctl, sched, kind, client, attempt)];
	return steer_select(ctx, sched, slot) ? (int)slot : -1;
}

/* Tries further ring entries after attempt 0 found no listener. Returns the selected slot, or -1.
 * The ring has entries without a listener only until the next command, or the watcher, makes a new
 * ring. */
__attribute__((noinline)) int steer_walk(struct sk_reuseport_md *ctx, __u32 kind, __u32 client)
{
	struct rpd_schedule *sched = schedule_find();

	if (!ctx || !sched)
		return -1;
	for (__u32 attempt = 1; attempt < STEER_RING_TRIES; attempt++) {
		int slot;

		if (attempt > sched->ring_len)
			break;
		slot = steer_try_ring(ctx, kind, client, attempt);
		if (slot >= 0)
			return slot;
	}
	return -1;
}

/* Selects a worker for the turn of ring entry @at. Returns its slot, or -1 if it has no listener.
 */
static __always_inline int steer_give_turn(struct sk_reuseport_md *ctx,
                                           const struct rpd_control *ctl,
                                           const struct rpd_schedule *sched, enum pick_kind kind,
                                           __u32 client, __u32 at, enum rpd_outcome *ret)
{
	int turn = sched->ring[at], slot;

	if (kind != PICK_STRAY && sched->policy == RPD_LEAST_CONNECTIONS)
		turn = steer_least(ctx, sched, at);
	else if (!steer_select(ctx, sched, turn))
		return -1;
	if (turn < 0 || kind == PICK_STRAY || !steer_may_be_busy(ctx, ctl, sched))
		return turn;
	slot = steer_pass_on(ctx, turn, client);
	if (slot != turn)
		*ret = RPD_OUTCOME_passed_on;
	return slot;
}

static __always_inline int steer_packet(struct sk_reuseport_md *ctx, struct rpd_control *ctl,
                                        const struct rpd_schedule *sched)
{
	enum pick_kind kind = steer_classify(ctx);
	enum rpd_outcome outcome = RPD_OUTCOME_steered;
	__u32 client, at;
	int slot;

	if (ctl->n_probes) { /* in the cache line of `active` */
		slot = steer_find_probe(ctx);
		if (slot >= 0)
			return steer_probe_packet(ctx, sched, kind, slot);
	}
	if (sched->ring_len == 0) /* the user has taken every worker out, or there never was one */
		return !sched->n_candidates && steer_select_parking(ctx) ? steer_park(kind)
		                                                         : steer_drop();
	client = sched->policy == RPD_STICKY ? steer_hash_client(ctx) : 0;
	at = steer_ring_entry(ctx, ctl, sched, kind, client, 0);
	slot = steer_give_turn(ctx, ctl, sched, kind, client, at, &outcome);
	if (slot >= 0)
		return steer_finish(slot, steer_outcome(kind, outcome), SK_PASS);
	slot = steer_walk(ctx, kind, client);
	if (slot < 0)
		slot = steer_select_any(ctx, sched,
		                        sched->policy == RPD_STICKY ? client : ctx->hash);
	if (slot >= 0)
		return steer_finish(slot, steer_outcome(kind, RPD_OUTCOME_slot_gone), SK_PASS);
	if (steer_select_parking(ctx))
		return steer_park(kind);
	return steer_fall_back(sched);
}

SEC("sk_reuseport/migrate")
int steer(struct sk_reuseport_md *ctx)
{
	__u32 zero = 0;
	struct rpd_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct rpd_schedule *sched = ctl ? schedule_get(ctl) : NULL;

	if (!sched) /* unreachable: both maps are arrays */
		return SK_DROP;
	if (ctx->migrating_sk)
		return steer_migrate(ctx, ctl, sched);
	return steer_packet(ctx, ctl, sched);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
