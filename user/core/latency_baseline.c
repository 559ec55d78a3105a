/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/latency_baseline.h"

#include <reuseportd/response_abi.h>

#define LATENCY_BASELINE_ABOVE 10 /* samples above the quantile */

uint64_t latency_baseline_samples(unsigned int percent)
{
	return LATENCY_BASELINE_ABOVE * 100 / (100 - percent);
}

void latency_baseline_begin(struct latency_baseline *baseline, unsigned int percent,
                            unsigned int tolerate)
{
	*baseline = (struct latency_baseline){.percent = percent, .tolerate = tolerate};
}

static uint64_t latency_baseline_sum(const uint64_t *times, unsigned int from)
{
	uint64_t sum = 0;

	for (unsigned int i = from; i < RESPONSE_BUCKETS; i++)
		sum += times[i];
	return sum;
}

/* Freezes the quantile if the old version has enough samples. */
static void latency_baseline_freeze(struct latency_baseline *baseline, const uint64_t *old)
{
	const uint64_t all = latency_baseline_sum(old, 0);
	uint64_t below = 0;
	unsigned int bucket = 0;

	if (all < latency_baseline_samples(baseline->percent))
		return;
	for (; bucket < RESPONSE_BUCKETS; bucket++) {
		below += old[bucket];
		if (below * 100 >= all * baseline->percent)
			break;
	}
	baseline->bucket = bucket;
	baseline->frozen = 1;
}

/* The first bucket that has only slow responses of the new version. */
static unsigned int latency_baseline_tolerated(const struct latency_baseline *baseline)
{
	const uint64_t quantile = response_bucket_floor(baseline->bucket + 1);

	return response_bucket(quantile * baseline->tolerate / 100 + LATENCY_BASELINE_MORE_NS) + 1;
}

/* @slow: the first bucket of slow responses. */
static struct verdict_count latency_baseline_split(const uint64_t *times, unsigned int slow)
{
	return (struct verdict_count){
	        .n = latency_baseline_sum(times, 0),
	        .bad = latency_baseline_sum(times, slow),
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
                            const uint64_t *old, struct verdict_pair *ret)
{
	const uint32_t was_frozen = baseline->frozen;
	struct verdict_pair now;

	*ret = (struct verdict_pair){0};
	if (!was_frozen)
		latency_baseline_freeze(baseline, old);
	if (!baseline->frozen)
		return;
	now.new = latency_baseline_split(new, latency_baseline_tolerated(baseline));
	now.old = latency_baseline_split(old, baseline->bucket + 1);
	if (!was_frozen || latency_baseline_fell(baseline, &now))
		baseline->before = now;
	ret->new = verdict_without(&now.new, &baseline->before.new);
	ret->old = verdict_without(&now.old, &baseline->before.old);
}

bool latency_baseline_valid(const struct latency_baseline *baseline)
{
	return baseline->bucket < RESPONSE_BUCKETS;
}
