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

/* The bucket of a time. */
static inline __u32 response_bucket(__u64 ns)
{
	__u64 rest = ns;
	__u32 log = 0;

	if (ns < 1ull << RESPONSE_SHORTEST_LOG)
		return 0;
	if (ns >= 1ull << RESPONSE_LONGEST_LOG)
		return RESPONSE_BUCKETS - 1;
	for (__u32 step = 32; step; step /= 2)
		if (rest >> step) {
			rest >>= step;
			log += step;
		}
	return (log - RESPONSE_SHORTEST_LOG) * RESPONSE_OCTAVE +
	       (__u32)((ns >> (log - RESPONSE_OCTAVE_LOG)) & (RESPONSE_OCTAVE - 1));
}

/* The shortest time of a bucket; for RESPONSE_BUCKETS, the end of the last one. */
static inline __u64 response_bucket_floor(__u32 bucket)
{
	const __u32 log = RESPONSE_SHORTEST_LOG + bucket / RESPONSE_OCTAVE;

	return (__u64)(RESPONSE_OCTAVE + bucket % RESPONSE_OCTAVE) << (log - RESPONSE_OCTAVE_LOG);
}

/*
 * Map "responses", by account (abi.h), and from RPD_ACCOUNT_MAX on the counts of versions that the
 * accounts had before: the responses of one generation of a slot. Only rows that user space has
 * made are counted in.
 */
struct rpd_responses {
	char label[RPD_LABEL_MAX];     /* the version of the workers that have responded */
	struct rpd_rate rate;          /* final responses */
	__u64 of[RESPONSE_CLASS_MAX];  /* by class */
	__u64 time_ns;                 /* the sum of the times in times[] */
	__u64 times[RESPONSE_BUCKETS]; /* to first byte, of final responses of a known class */
};

#define RESPONSE_ROWS_MAX (RPD_ACCOUNT_MAX + RPD_VERSION_MAX)

_Static_assert(sizeof(struct rpd_responses) == 32 + 40 + 8 * (6 + 1 + 208), "ABI");
