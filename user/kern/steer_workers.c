/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_workers.h"

#include <errno.h>
#include <stdio.h>
#include <bpf/bpf.h>

#include "kern/map_range.h"

int steer_workers_get(const struct steer *steer, unsigned int slot, struct rpd_worker *ret)
{
	return bpf_map_lookup_elem(steer->map_fd[STEER_WORKERS], &slot, ret) < 0 ? -errno : 0;
}

int steer_workers_read(const struct steer *steer, size_t n, struct rpd_worker *ret)
{
	return map_range_read(steer->map_fd[STEER_WORKERS], 0, n, ret);
}

int steer_workers_set(struct steer *steer, unsigned int slot, const struct rpd_worker *worker)
{
	return bpf_map_update_elem(steer->map_fd[STEER_WORKERS], &slot, worker, BPF_ANY) < 0
	               ? -errno
	               : 0;
}

int steer_workers_set_run(struct steer *steer, unsigned int slot, enum rpd_run run,
                          uint32_t restarts)
{
	struct rpd_worker worker;
	int r = steer_workers_get(steer, slot, &worker);

	if (r < 0)
		return r;
	worker.run = run;
	worker.restarts = restarts;
	return steer_workers_set(steer, slot, &worker);
}

int steer_workers_set_why(struct steer *steer, unsigned int slot, const char *why)
{
	struct rpd_worker worker;
	int r = steer_workers_get(steer, slot, &worker);

	if (r < 0)
		return r;
	snprintf(worker.why, sizeof(worker.why), "%s", why);
	return steer_workers_set(steer, slot, &worker);
}
