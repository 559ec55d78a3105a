/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"

int steer_counters_read(const struct steer *steer, struct counters *ret, struct error *err)
{
	int n_cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct rpd_tally *tallies = NULL;

	if (n_cpus > 0)
		tallies = calloc(n_cpus, sizeof(*tallies));
	if (!tallies)
		return error_set(err, -ENOMEM, "out of memory");
	memset(ret, 0, RPD_ROW_MAX * sizeof(*ret));
	for (uint32_t outcome = 0; outcome < RPD_OUTCOME_MAX; outcome++) {
		if (bpf_map_lookup_elem(steer->map_fd[STEER_COUNTERS], &outcome, tallies) < 0)
			return error_set(err, -errno, "can't read the counters: %s",
			                 strerror(errno));
		for (int cpu = 0; cpu < n_cpus; cpu++)
			for (unsigned int row = 0; row < RPD_ROW_MAX; row++)
				ret[row].of[outcome] += tallies[cpu].of[row];
	}
	return 0;
}
