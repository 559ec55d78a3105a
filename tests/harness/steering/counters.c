/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering/counters.h"

#include <bpf/bpf.h>

#include "kern/steer_counters.h"

static const struct counters *counters_read(const struct bed *bed)
{
	static struct counters rows[RPD_ROW_MAX];
	struct error err;

	CHECK_MSG(steer_counters_read(&bed->steer, rows, &err) == 0, "%s", err.text);
	return rows;
}

uint64_t counters_row(const struct bed *bed, unsigned int row, enum rpd_outcome outcome)
{
	return counters_read(bed)[row].of[outcome];
}

uint64_t counters_total(const struct bed *bed, enum rpd_outcome outcome)
{
	const struct counters *rows = counters_read(bed);
	uint64_t total = 0;

	for (unsigned int row = 0; row < RPD_ROW_MAX; row++)
		total += rows[row].of[outcome];
	return total;
}

uint64_t counters_sum(const struct bed *bed)
{
	uint64_t sum = 0;

	for (enum rpd_outcome outcome = 0; outcome < RPD_OUTCOME_MAX; outcome++)
		sum += counters_total(bed, outcome);
	return sum;
}

void counters_watch_runs(struct bed *bed)
{
	bed->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	CHECK(bed->stats_fd >= 0);
}

uint64_t counters_runs(const struct bed *bed)
{
	uint64_t runs = 0;

	for (unsigned int i = 0; i < bed->steer.service->n_endpoints; i++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		CHECK_EQ(bpf_obj_get_info_by_fd(bed->steer.endpoints[i].prog_fd, &info, &size), 0);
		runs += info.run_cnt;
	}
	return runs;
}
