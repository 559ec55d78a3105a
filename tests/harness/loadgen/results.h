/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters of a run, for the report at its end. */
#pragma once

#include <stdint.h>

#include "latency.h"
#include "outcome.h"
#include "worker.h"

struct results {
	uint64_t begun;
	uint64_t answers;
	uint64_t outcomes[OUTCOME_MAX];
	uint64_t start_us;
	uint64_t settled_us; /* when a connection last got its answer or failed */
	struct latency latency;
	struct workers workers;
};

static inline uint64_t results_failed(const struct results *results)
{
	return results->begun - results->outcomes[OUTCOME_OK];
}
