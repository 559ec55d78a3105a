/* SPDX-License-Identifier: BSD-2-Clause */
/* How busy the workers are: what the kernel counted of their connections, and their queues. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/conn_count.h"
#include "service/observe.h"
#include "service/service.h"

struct worker_stats {
	bool counted; /* the rest of it, down to the rate, is known */
	struct conn_count count;
	uint64_t active; /* open connections, accepted or not; unknown if some are uncounted */
	uint64_t former_active; /* of workers that were in the slot before */
	uint64_t former_uncounted;
	uint32_t handshakes; /* under way */
	double rate;         /* connections a second, over the last seconds */

	uint32_t queued, backlog; /* accept queues of its listeners, and their limits, in all */
	uint64_t age_s;           /* of its main process; 0 if it is not alive */
	uint64_t started_at;      /* the process, seconds since the epoch */
};

struct service_stats {
	bool counting;
	char error[160]; /* why it isn't */
	struct worker_stats *slots;
	size_t n_slots;
	uint64_t unattributed; /* open connections from before attach, of an unknown worker */
	uint64_t uncounted;    /* for which there was no room, or that could not be listed */
};

#define _cleanup_service_stats_ __attribute__((cleanup(worker_stats_free)))

int worker_stats_take(const struct service *service, const struct observed *observed,
                      struct service_stats *ret, struct error *err);

void worker_stats_free(struct service_stats *load);
