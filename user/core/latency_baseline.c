/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/latency_baseline.h"

#include <stdbool.h>

#define LATENCY_BASELINE_ABOVE 10 /* samples above the quantile */

uint64_t latency_baseline_samples(unsigned int percent)
{
	return LATENCY_BASELINE_ABOVE * 100 / (100 - percent);
}

void latency_baseline_begin(struct latency_baseline *baseline, unsigned int percent)
{
	*baseline = (struct latency_baseline){.percent = percent};
}

static uint64_t latency_baseline_sum(const uint64_t *times, size_t from, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = from; i < n; i++)
		sum += times[i];
	return sum;
}

/* Freezes the quantile if the old version has enough samples. */
static void latency_baseline_freeze(struct latency_baseline *baseline, const uint64_t *old,
                                    size_t n)
{
	const uint64_t all = latency_baseline_sum(old, 0, n);
	uint64_t below = 0;
	size_t bucket = 0;

	if (all < latency_baseline_samples(baseline->percent))
		return;
	for (; bucket < n; bucket++) {
		below += old[bucket];
		if (below * 100 >= all * baseline->percent)
			break;
	}
	baseline->bucket = bucket;
	baseline->frozen = 1;
}

static struct verdict_count latency_baseline_above(const struct latency_baseline *baseline,
                                                   const uint64_t *times, size_t n)
{
	return (struct verdict_count){
	        .n = latency_baseline_sum(times, 0, n),
	        .bad = latency_baseline_sum(times, (size_t)baseline->bucket + 1, n),
	};
}

/* The histograms have begun at 0 again, or have lost a part. */
static bool latency_baseline_fell(const struct latency_baseline *baseline,
                                  const struct verdict_pair *now)
{
	return verdict_fell(&now->new, &baseline->before.new) ||
	       verdict_fell(&now->old, &baseline->before.old);
}

void latency_baseline_count(struct latency_baseline *baseline, const uint64_t *new,
                            const uint64_t *old, size_t n, struct verdict_pair *ret)
{
	const uint32_t was_frozen = baseline->frozen;
	struct verdict_pair now;

	*ret = (struct verdict_pair){0};
	if (!was_frozen)
		latency_baseline_freeze(baseline, old, n);
	if (!baseline->frozen)
		return;
	now.new = latency_baseline_above(baseline, new, n);
	now.old = latency_baseline_above(baseline, old, n);
	if (!was_frozen || latency_baseline_fell(baseline, &now))
		baseline->before = now;
	ret->new = verdict_without(&now.new, &baseline->before.new);
	ret->old = verdict_without(&now.old, &baseline->before.old);
}
