/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which responses are slow. Those of the old version: above one of its quantiles, which is frozen
 * when a step begins. Those of the new version: above `tolerate` times that quantile, and a
 * millisecond more. Then the versions are compared by how often their responses are slow. Pure.
 *
 *	latency_baseline_begin(&baseline, 99, 150);           with each step
 *	latency_baseline_count(&baseline, new, old, &pair);   at each look, for verdict_look()
 *
 * As a new version that is exactly as slow as is tolerated has as many slow responses as the old
 * one, a lesser difference is no evidence, however long the step lasts. There is one in most
 * deployments: new processes have cold caches, and with a small share of the traffic they stay
 * cold. Code of Node is optimized after some thousand requests, and takes 0.65 ms until then where
 * it then takes 0.33 ms. So short times need the millisecond, which no user notices.
 *
 * The histograms are running totals: what they have at the beginning of the step is only for the
 * quantile. As long as the old version has too few samples, the quantile is not frozen, nothing is
 * slow, and the pair is all zero.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/verdict.h"

#define LATENCY_BASELINE_MORE_NS 1000000

/* All zero: none. To be kept in a file as it is. */
struct latency_baseline {
	uint32_t percent;  /* the quantile: 50, 90 or 99 */
	uint32_t tolerate; /* percent of the quantile */
	uint32_t frozen;   /* 1: the quantile is in this bucket (response_abi.h) */
	uint32_t bucket;
	struct verdict_pair before; /* what was counted when it was frozen */
};

/* The samples of the old version that a quantile needs: 20 for p50, 100 for p90, 1,000 for p99, so
 * that ten are above it. */
uint64_t latency_baseline_samples(unsigned int percent);

/* Begins a step: the quantile is frozen with the next latency_baseline_count(). @tolerate: as in
 * struct verdict_rules. */
void latency_baseline_begin(struct latency_baseline *baseline, unsigned int percent,
                            unsigned int tolerate);

/* Counts what came since the quantile was frozen. @new, @old: histograms of response_abi.h, with
 * RESPONSE_BUCKETS buckets. */
void latency_baseline_count(struct latency_baseline *baseline, const uint64_t *new,
                            const uint64_t *old, struct verdict_pair *ret);

/* Whether it can be used as it was read from a file. */
bool latency_baseline_valid(const struct latency_baseline *baseline);
