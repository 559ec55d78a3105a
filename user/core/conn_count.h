/* SPDX-License-Identifier: BSD-2-Clause */
/* The counts of a worker's connections. Pure. */
#pragma once

#include <stdint.h>
#include <reuseportd/abi.h>

/* One account, summed over the CPUs. */
struct conn_count {
	uint64_t of[RPD_CONN_COUNTER_MAX];
};

/* The number of connections that are established and not yet closed; never below 0. The counts of
 * the CPUs are read one after the other, so the result can be off by the connections that open and
 * close during the read. */
uint64_t conn_count_still_open(const struct conn_count *count);
