/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel counted of a worker's connections. Pure. */
#pragma once

#include <stdint.h>
#include <reuseportd/abi.h>

/* One account, summed over the CPUs. */
struct conn_count {
	uint64_t of[RPD_CONN_COUNTER_MAX];
};

/* Connections that are open: established, and not closed. The sum of what different CPUs counted,
 * read one after the other: while connections come and go it may be off by those. Never below 0. */
uint64_t conn_count_still_open(const struct conn_count *count);
