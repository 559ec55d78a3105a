/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Counts of each of the last seconds. */
#pragma once

#include <reuseportd/abi.h>

#define NS_PER_S 1000000000ull

/* Counts one event at @now. If several CPUs share the row, one of two at the same time may be lost.
 */
static __always_inline void rate_count(struct rpd_rate *rate, __u64 now)
{
	__u64 second;

	if (now - rate->second * NS_PER_S >= NS_PER_S) { /* no division for each event */
		second = now / NS_PER_S;
		for (int i = 1; i <= RPD_RATE_SECONDS; i++)
			if (rate->second + i <= second)
				rate->of[(rate->second + i) % RPD_RATE_SECONDS] = 0;
		rate->second = second;
	}
	rate->of[rate->second % RPD_RATE_SECONDS]++;
}
