/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The steering program's decisions as plain inline code without a helper call: compiled by clang
 * for the kernel and by the unit tests for the host.
 */
#pragma once

#include <reuseportd/abi.h>

#define PICK_TCP_FLAGS_OFFSET 13 /* ctx->data starts at the TCP header */
#define PICK_FIN              0x01
#define PICK_SYN              0x02
#define PICK_RST              0x04
#define PICK_ACK              0x10

enum pick_kind {
	PICK_NEW,    /* begins a connection: the only kind that moves the cursor */
	PICK_COOKIE, /* may complete a SYN-cookie handshake; it then makes the connection */
	PICK_STRAY,  /* can't make a connection, whichever listener gets it */
};

/* Classifies a packet without a connection or request socket, by byte 13 of its TCP header. A
 * listener takes a SYN only without ACK, RST and FIN, and an ACK only without SYN, RST and FIN
 * (tcp_rcv_state_process() and tcp_v4_cookie_check() in the kernel). */
static inline enum pick_kind steer_pick_kind(__u8 flags)
{
	switch (flags & (PICK_SYN | PICK_ACK | PICK_RST | PICK_FIN)) {
	case PICK_SYN:
		return PICK_NEW;
	case PICK_ACK:
		return PICK_COOKIE;
	default:
		return PICK_STRAY;
	}
}

/* MurmurHash3's 32-bit finaliser (public domain): each bit of @h changes half of the result's bits.
 */
static inline __u32 steer_pick_mix(__u32 h)
{
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	h ^= h >> 16;
	return h;
}

static inline __u32 steer_pick_hash_v4(__u32 addr)
{
	return steer_pick_mix(addr);
}

/* A v4-mapped address (::ffff:a.b.c.d) hashes as its IPv4 address, so a client has the same worker
 * on IPv4 and dual-stack listeners. */
static inline __u32 steer_pick_hash_v6(const __u32 addr[4])
{
	if (addr[0] == 0 && addr[1] == 0 && addr[2] == __builtin_bswap32(0x0000ffff))
		return steer_pick_hash_v4(addr[3]);
	return steer_pick_mix(
	        addr[0] ^
	        steer_pick_mix(addr[1] ^ steer_pick_mix(addr[2] ^ steer_pick_mix(addr[3]))));
}

/* The ring index of a sticky client's @attempt. Each client has the same sequence of indexes every
 * time; successive indexes are unrelated, so a dead worker's clients are spread over all others. */
static inline __u32 steer_pick_sticky(__u32 client_hash, __u32 attempt)
{
	return steer_pick_mix(client_hash + attempt * 0x9e3779b9);
}

#define PICK_SCATTERED 8

/* The index, below @count, that a search tries at its @step: first @start; then PICK_SCATTERED
 * unrelated indexes, so that all others share a missing worker's connections, not its neighbour
 * alone; then all indexes in turn. PICK_SCATTERED + @count steps try every index. */
static inline __u32 steer_pick_scan(__u32 start, __u32 step, __u32 count)
{
	if (step == 0)
		return start % count;
	if (step <= PICK_SCATTERED)
		return steer_pick_sticky(start, step) % count;
	return (start % count + step - PICK_SCATTERED) % count;
}

#define PICK_GROWN 1024 /* the growth of a worker that is no longer young */

/* How much of its weight a worker of this age counts with, of PICK_GROWN: a tenth at first. */
static inline __u64 steer_pick_growth(__u64 age, __u64 slow_start)
{
	__u64 growth = age >= slow_start ? PICK_GROWN : age * PICK_GROWN / slow_start;

	return growth < PICK_GROWN / 10 ? PICK_GROWN / 10 : growth;
}

/* How many of the worker's resets are left of @resets (rpd_load.resets). Times may be read on
 * another CPU after @now, hence the signed difference. */
static inline __u32 steer_pick_resets(__u64 resets, __u32 now)
{
	const __s32 age = now - (__u32)(resets >> 32);

	return age <= 0 ? resets : age < 32 ? (__u32)resets >> age : 0;
}

/* Returns @resets with one more. */
static inline __u64 steer_pick_reset(__u64 resets, __u32 now)
{
	return (__u64)now << 32 | (__u32)(steer_pick_resets(resets, now) + 1);
}

/* What is compared of a worker. */
struct pick_load {
	__u64 connections; /* open ones, handshakes under way, and recent resets */
	__u64 weight;      /* above 0 */
	__u64 growth;      /* steer_pick_growth() */
};

/* Whether worker @a takes a turn from worker @b, because the connection is a smaller load there,
 * for its weight. Of equal workers, @b keeps the turn. A young worker takes none from a grown one.
 */
static inline int steer_pick_is_less(const struct pick_load *a, const struct pick_load *b)
{
	if (a->growth < PICK_GROWN && b->growth == PICK_GROWN)
		return 0;
	return (a->connections + 1) * b->weight * b->growth <
	       (b->connections + 1) * a->weight * a->growth;
}

/* The accept queue of a listener. */
struct pick_queue {
	__u32 length;
	__u32 limit; /* the kernel drops a SYN if the queue is longer */
	__u32 first; /* identifies the connection that the worker accepts next; 0 = none waits */
};

/* Whether a worker can take a turn. */
enum pick_busy {
	PICK_FREE,
	PICK_STUCK, /* connections wait, and the worker has accepted none for too long */
	PICK_FULL,  /* the kernel would drop the SYN */
};

/*
 * Judges a queue, and notes in *@seen (rpd_queue.seen) since when its first connection is there. A
 * queue that has moved since the last look is not stuck, however long its connections wait: a slow
 * worker keeps its turns. Queues are not compared: those of healthy workers that share a processor
 * are empty at different times, so that shares would not be exact, whatever @stuck_after is. Times
 * may be read on another CPU after @now, hence the signed difference.
 */
static inline enum pick_busy steer_pick_busy(const struct pick_queue *queue, __u64 *seen, __u32 now,
                                             __u32 stuck_after)
{
	const __u64 last = *(volatile __u64 *)seen;
	const __u32 age = now - (__u32)(last >> 32);

	/* The worker may accept the last connection after the program has read the length. */
	if (queue->length == 0 || queue->first == 0)
		return PICK_FREE;
	if ((__u32)last != queue->first) {
		*(volatile __u64 *)seen = (__u64)now << 32 | queue->first;
	} else if ((__s32)age > (__s32)stuck_after) {
		if (age > RPD_TICKS_MAX) /* it stays so long: the difference does not wrap */
			*(volatile __u64 *)seen =
			        (__u64)(now - RPD_TICKS_MAX - 1) << 32 | queue->first;
		return PICK_STUCK;
	}
	return queue->length > queue->limit ? PICK_FULL : PICK_FREE;
}
