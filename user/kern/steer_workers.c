/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_workers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kern/map_range.h"

int steer_workers_get(const struct steer *steer, unsigned int slot, struct rpd_worker *ret)
{
	const uint32_t cell = steer_cell(steer, slot);

	return bpf_map_lookup_elem(steer->map_fd[STEER_WORKERS], &cell, ret) < 0 ? -errno : 0;
}

int steer_workers_read(const struct steer *steer, size_t n, struct rpd_worker *ret)
{
	_cleanup_free_ struct rpd_worker *second = calloc(n + 1, sizeof(*second));
	int r = second ? map_range_read(steer->map_fd[STEER_WORKERS], 0, n, ret) : -ENOMEM;

	if (r == 0)
		r = map_range_read(steer->map_fd[STEER_WORKERS], RPD_SLOT_MAX, n, second);
	for (unsigned int slot = 0; r == 0 && slot < n; slot++)
		if (steer_cell(steer, slot) != slot)
			ret[slot] = second[slot];
	return r;
}

static int steer_workers_set_cell(struct steer *steer, uint32_t cell,
                                  const struct rpd_worker *worker)
{
	return bpf_map_update_elem(steer->map_fd[STEER_WORKERS], &cell, worker, BPF_ANY) < 0
	               ? -errno
	               : 0;
}

int steer_workers_set(struct steer *steer, unsigned int slot, const struct rpd_worker *worker)
{
	return steer_workers_set_cell(steer, steer_cell(steer, slot), worker);
}

int steer_workers_set_idle(struct steer *steer, unsigned int slot, const struct rpd_worker *worker)
{
	return steer_workers_set_cell(steer, steer_idle_cell(steer, slot), worker);
}

int steer_workers_set_run(struct steer *steer, unsigned int slot, enum rpd_run run, bool ended,
                          uint32_t restarts)
{
	struct rpd_worker worker;
	int r = steer_workers_get(steer, slot, &worker);

	if (r < 0 || (worker.run == run && worker.ended == ended && worker.restarts == restarts))
		return r;
	worker.run = run;
	worker.ended = ended;
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
