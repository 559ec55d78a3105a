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
	PICK_COOKIE, /* may end a SYN-cookie handshake; then it, not the SYN, makes the connection
	              */
	PICK_STRAY,  /* can't make a connection, whichever listener gets it */
};

/* What a packet without a connection or request socket is, from byte 13 of its TCP header. A
 * listener takes a SYN only without ACK, RST and FIN, and an ACK only without SYN, RST and FIN
 * (tcp_rcv_state_process() and tcp_v4_cookie_check() in the kernel). */
static inline enum pick_kind pick_kind(__u8 flags)
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

/* MurmurHash3's 32-bit finaliser (public domain): each bit of @h moves half of the result's. */
static inline __u32 pick_mix(__u32 h)
{
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	h ^= h >> 16;
	return h;
}

static inline __u32 pick_hash_v4(__u32 addr)
{
	return pick_mix(addr);
}

/* A v4-mapped address (::ffff:a.b.c.d) hashes as the IPv4 address that it stands for, so that a
 * client has one worker whichever way it comes in. */
static inline __u32 pick_hash_v6(const __u32 addr[4])
{
	if (addr[0] == 0 && addr[1] == 0 && addr[2] == __builtin_bswap32(0x0000ffff))
		return pick_hash_v4(addr[3]);
	return pick_mix(addr[0] ^ pick_mix(addr[1] ^ pick_mix(addr[2] ^ pick_mix(addr[3]))));
}

/* Where a sticky client looks in the ring at its @attempt: the same places each time, and after a
 * slot without a listener a place that has nothing to do with the one before, so that a dead
 * worker's clients are spread over all the others. */
static inline __u32 pick_sticky(__u32 client_hash, __u32 attempt)
{
	return pick_mix(client_hash + attempt * 0x9e3779b9);
}

#define PICK_SCATTERED 8

/* Where among @count places a search looks at its @step-th look: first at @start, then a few times
 * at a place that has nothing to do with the one before, so that what is missing is made up for by
 * all others and not by the one behind it; then at all places in turn. No place is left out by
 * PICK_SCATTERED + @count looks. */
static inline __u32 pick_scan(__u32 start, __u32 step, __u32 count)
{
	if (step == 0)
		return start % count;
	if (step <= PICK_SCATTERED)
		return pick_sticky(start, step) % count;
	return (start % count + step - PICK_SCATTERED) % count;
}
