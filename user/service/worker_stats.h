/* SPDX-License-Identifier: BSD-2-Clause */
/* How busy the workers are: the kernel's counts of their connections, and their accept queues. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/conn_count.h"
#include "kern/in_force.h"
#include "service/observed.h"
#include "service/response_stats.h"
#include "service/service.h"

struct worker_stats {
	bool counted;              /* the fields up to rate are known */
	bool all_generations_used; /* why they are not: GENERATION_ALL_USED */
	struct conn_count count;
	uint64_t active; /* open connections, accepted or not; unknown if some are uncounted */
	uint64_t former_active;    /* of former workers of the slot */
	uint64_t former_uncounted; /* their connections that are not counted */
	uint32_t handshakes;       /* under way */
	double rate;               /* connections a second, over the last seconds */

	uint32_t queued,
	        backlog;  /* the accept queues of its listeners and their limits, added up */
	bool stuck;       /* a queue has not moved for rpd_schedule.stuck_after */
	double unmoved_s; /* for how long, if it is stuck */
	uint64_t turns_lost[RPD_PASS_MAX]; /* to other workers, by reason */
	uint64_t age_s;                    /* of its main process; 0 if it is not alive */
	uint64_t started_at;               /* start of its main process, seconds since the epoch */
};

/* The HTTP responses of a worker. */
struct worker_responses {
	struct response_count count;
	double rate; /* final responses a second, over the last seconds */
};

struct service_stats {
	bool counting;
	char error[160]; /* why connections are not counted */
	struct worker_stats *slots;
	size_t n_slots;
	uint64_t unattributed; /* open connections from before attach, of an unknown worker */
	uint64_t uncounted;    /* connections that had no room, or could not be listed */
	struct in_force in_force;
	struct worker_responses *responses; /* of each slot; NULL: they are not counted */
	struct version_responses *versions; /* all versions that have had responses */
	size_t n_versions;
};

#define _cleanup_service_stats_ __attribute__((cleanup(worker_stats_free)))

/* Reads the numbers of all slots. If the counts can't be read, ret->error has the reason, and the
 * other numbers are valid. Returns 0, or a negative errno with @err set. The caller frees @ret with
 * worker_stats_free(). */
int worker_stats_take(const struct service *service, const struct observed *observed,
                      struct service_stats *ret, struct error *err);

void worker_stats_free(struct service_stats *stats);
