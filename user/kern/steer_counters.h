/* SPDX-License-Identifier: BSD-2-Clause */
/* What the steering program has counted. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "kern/steer.h"

/* The counts of one row (RPD_ROW_*): a slot, or no slot. */
struct counters {
	uint64_t of[RPD_OUTCOME_MAX];
};

/* Reads all rows, each summed over the CPUs, into @ret, which has RPD_ROW_MAX entries. */
int steer_counters_read(const struct steer *steer, struct counters *ret, struct error *err);
