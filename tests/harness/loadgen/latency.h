/* SPDX-License-Identifier: BSD-2-Clause */
/* Log-linear histogram of microseconds: exact up to 127 us, then within 0.8 %. */
#pragma once

#include <stdint.h>

#define LATENCY_BITS    7
#define LATENCY_STEPS   (1u << LATENCY_BITS)
#define LATENCY_BUCKETS ((64 - LATENCY_BITS + 1) * LATENCY_STEPS)

struct latency {
	uint64_t buckets[LATENCY_BUCKETS];
	uint64_t n;
	uint64_t max;
};

void latency_add(struct latency *latency, uint64_t us);

/* The upper bound of the bucket that contains the quantile @share (0 to 1). */
uint64_t latency_quantile(const struct latency *latency, double share);
