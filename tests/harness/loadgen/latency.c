/* SPDX-License-Identifier: BSD-2-Clause */
#include "latency.h"

#include <stddef.h>

void latency_add(struct latency *latency, uint64_t us)
{
	size_t i = us;

	if (us >= LATENCY_STEPS) {
		unsigned shift = 63 - (unsigned)__builtin_clzll(us) - LATENCY_BITS;

		i = shift * LATENCY_STEPS + (us >> shift);
	}
	latency->buckets[i]++;
	latency->n++;
	if (us > latency->max)
		latency->max = us;
}

uint64_t latency_quantile(const struct latency *latency, double share)
{
	uint64_t rank = (uint64_t)(share * (double)latency->n), seen = 0;

	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		size_t shift = i < LATENCY_STEPS ? 0 : i / LATENCY_STEPS - 1;
		uint64_t last = ((i - shift * LATENCY_STEPS + 1) << shift) - 1;

		seen += latency->buckets[i];
		if (seen > rank)
			return last < latency->max ? last : latency->max;
	}
	return latency->max;
}
