/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The counts of HTTP responses that the programs of http.bpf.c share with user space. Compiled for
 * the kernel and for the host.
 */
#pragma once

#include <linux/types.h>
#include <reuseportd/abi.h>

/* Classes of responses: the first digit of the status code. RESPONSE_UNKNOWN: of a response whose
 * status is not known for sure, and of a connection that does not begin with HTTP/1. */
#define RESPONSE_UNKNOWN   0
#define RESPONSE_CLASS_MAX 6

/*
 * The histogram of times: log-linear, eight buckets an octave. Bucket i has the times from
 * response_bucket_floor(i) to just below response_bucket_floor(i + 1), in nanoseconds; the first
 * one also has shorter times, the last one also longer times. The first begins at 1.024 us, and the
 * last ends at 68.7 s.
 */
#define RESPONSE_OCTAVE_LOG   3
#define RESPONSE_OCTAVE       (1 << RESPONSE_OCTAVE_LOG)
#define RESPONSE_SHORTEST_LOG 10
#define RESPONSE_LONGEST_LOG  36
#define RESPONSE_BUCKETS      ((RESPONSE_LONGEST_LOG - RESPONSE_SHORTEST_LOG) * RESPONSE_OCTAVE)

/* The bucket of a time. The logarithm is computed without branches: times differ, so the processor
 * would take many of them wrongly, which takes longer than all the rest. */
static inline __u32 response_bucket(__u64 ns)
{
	__u32 rest = ns >> RESPONSE_SHORTEST_LOG, log = 0;

	if (ns < 1ull << RESPONSE_SHORTEST_LOG)
		return 0;
	if (ns >= 1ull << RESPONSE_LONGEST_LOG)
		return RESPONSE_BUCKETS - 1;
	for (int i = 4; i >= 0; i--) {
		const __u32 more = ((1u << (1 << i)) - 1 - rest) >> 31 << i;

		rest >>= more;
		log += more;
	}
	return log * RESPONSE_OCTAVE +
	       (__u32)((ns >> (RESPONSE_SHORTEST_LOG - RESPONSE_OCTAVE_LOG + log)) &
	               (RESPONSE_OCTAVE - 1));
}

/* The shortest time of a bucket; for RESPONSE_BUCKETS, the end of the last one. */
static inline __u64 response_bucket_floor(__u32 bucket)
{
	const __u32 log = RESPONSE_SHORTEST_LOG + bucket / RESPONSE_OCTAVE;

	return (__u64)(RESPONSE_OCTAVE + bucket % RESPONSE_OCTAVE) << (log - RESPONSE_OCTAVE_LOG);
}

/*
 * Rows, by account (abi.h), and from RPD_ACCOUNT_MAX on the counts of versions that the accounts
 * had before: what is counted of one generation of a slot. A row has a part in map "requests", by
 * its number, and a part in map "responses", at its place. Both are arrays, as a search in a hash
 * takes longer than all that is done with the row.
 */
#define RESPONSE_ROWS_MAX (RPD_ACCOUNT_MAX + RPD_VERSION_MAX)

/*
 * Map "responses" has memory for fewer rows than there are accounts, as a slot has most of its
 * generations only when connections stay open through many changes of its worker. User space gives
 * the places to rows. Responses without a place are not counted. Place 0 is none.
 */
#define RESPONSE_PLACES (1 + 2 * RPD_SLOT_MAX + 1 + RPD_VERSION_MAX)
struct rpd_responses {
	/* What each response changes comes first, in few cache lines. */
	__u64 time_ns;                /* the sum of the times in times[] */
	struct rpd_rate rate;         /* final responses */
	__u64 of[RESPONSE_CLASS_MAX]; /* by class */
	/* To first byte: of final responses of a known class, and of connections that do not begin
	 * with HTTP/1. */
	__u64 times[RESPONSE_BUCKETS];
	char label[RPD_LABEL_MAX]; /* the version of the workers that have responded */
	/* The row that this place was given to last, plus one; 0: to none yet. It is that row's as
	 * long as the row says so, too. */
	__u64 owner;
};

/*
 * Requests that wait for their response, by the time when their last packet came: in ticks of 1.07
 * s. A request that has none after RESPONSE_LATE_TICKS counts as unanswered for good, also if its
 * connection has ended.
 */
#define RESPONSE_TICK_LOG   30
#define RESPONSE_LATE_TICKS 5
#define RESPONSE_DUE_TICKS  8 /* of a row; a power of two, more than RESPONSE_LATE_TICKS */

/*
 * What the programs change for a request, and again for its response. It is counted in also while
 * the row has no place, and begins again when the row gets one.
 */
struct rpd_requests {
	__u64 asked; /* requests, and connections on which the client began with something else */
	__u64 late;  /* those of the ticks that are no longer in due[], and have had no response */
	/* For each of the last ticks, the number of its requests that have had no response, in the
	 * lower half; the tick is in the upper half. */
	__u64 due[RESPONSE_DUE_TICKS];
	__u32 place; /* of the row in map "responses" */
	__u32 unused;
};

/* A request came in @tick, which is the present one. */
static inline void response_due_add(struct rpd_requests *row, __u32 tick)
{
	__u64 *due = &row->due[tick & (RESPONSE_DUE_TICKS - 1)];
	const __u64 old = *(volatile __u64 *)due;

	/* Of several CPUs, one finds that a tick has begun. */
	if (old >> 32 != tick &&
	    __sync_val_compare_and_swap(due, old, (__u64)tick << 32 | 1) == old)
		__sync_fetch_and_add(&row->late, (__u32)old);
	else
		__sync_fetch_and_add(due, 1);
}

/* The request that is counted in @tick is not due any more. Returns 0 if it stays counted there,
 * since it is late. */
static inline int response_due_remove(struct rpd_requests *row, __u32 tick, __u32 now)
{
	__u64 *due = &row->due[tick & (RESPONSE_DUE_TICKS - 1)];

	/* Each try fails only if another CPU's has not. */
	for (int i = 0; i < 8 && now - tick <= RESPONSE_LATE_TICKS; i++) {
		const __u64 old = *(volatile __u64 *)due;

		if (old >> 32 != tick || (__u32)old == 0)
			return 0;
		if (__sync_val_compare_and_swap(due, old, old - 1) == old)
			return 1;
	}
	return 0;
}

/* More of the request that is counted in @tick has come in tick @now. Returns the tick in which it
 * is counted from now on. */
static inline __u32 response_due_move(struct rpd_requests *row, __u32 tick, __u32 now)
{
	if (tick == now || !response_due_remove(row, tick, now))
		return tick;
	response_due_add(row, now);
	return now;
}

_Static_assert(sizeof(struct rpd_responses) == 32 + 40 + 8 * (6 + 1 + 208 + 1), "ABI");
_Static_assert(sizeof(struct rpd_requests) == 8 * (2 + 8 + 1), "ABI");
