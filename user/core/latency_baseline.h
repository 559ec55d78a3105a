/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which responses are slow: those above a quantile of the old version, which is frozen when a step
 * begins. Pure. Times come as histograms of any layout with ascending buckets.
 *
 *	latency_baseline_begin(&baseline, 99);                   with each step
 *	latency_baseline_count(&baseline, new, old, n, &pair);   at each look, for verdict_look()
 *
 * The histograms are running totals: what they have at the beginning of the step is only for the
 * quantile. As long as the old version has too few samples, the quantile is not frozen, nothing is
 * slow, and the pair is all zero.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/verdict.h"

/* All zero: none. To be kept in a file as it is. */
struct latency_baseline {
	uint32_t percent; /* the quantile: 50, 90 or 99 */
	uint32_t frozen;  /* 1: slow is what is in buckets above this one */
	uint32_t bucket;
	uint32_t pad;
	struct verdict_pair before; /* what was counted when it was frozen */
};

/* The samples of the old version that a quantile needs: 20 for p50, 100 for p90, 1,000 for p99, so
 * that ten are above it. */
uint64_t latency_baseline_samples(unsigned int percent);

/* Begins a step: the quantile is frozen with the next latency_baseline_count(). */
void latency_baseline_begin(struct latency_baseline *baseline, unsigned int percent);

/* Counts what came since the quantile was frozen. @new, @old: the histograms, with @n buckets.
 */
void latency_baseline_count(struct latency_baseline *baseline, const uint64_t *new,
                            const uint64_t *old, size_t n, struct verdict_pair *ret);
