/* SPDX-License-Identifier: BSD-2-Clause */
/* The entries of a service's maps: listeners, rows, members, probes, counters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kern/map_range.h"
#include "kern/steer.h"

int steer_put(struct steer *steer, unsigned int endpoint, unsigned int slot, int fd)
{
	uint64_t value = fd;

	return bpf_map_update_elem(steer->socks_fd[endpoint], &slot, &value, BPF_ANY) < 0 ? -errno
	                                                                                  : 0;
}

int steer_clear(struct steer *steer, unsigned int endpoint, unsigned int slot)
{
	if (bpf_map_delete_elem(steer->socks_fd[endpoint], &slot) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* Slots are filled without a gap, and the schedule, once there is one, has them all; while attach
 * or the watcher fills some there may be more than it has. */
void steer_clear_from(struct steer *steer, unsigned int endpoint, unsigned int first)
{
	unsigned int n_slots =
	        steer->control && steer->schedules ? steer_schedule(steer)->n_slots : 0;
	bool filled = true;

	if (steer->socks_fd[endpoint] < 0)
		return;
	for (unsigned int slot = first; slot < RPD_SLOT_MAX && (filled || slot < n_slots); slot++) {
		filled = steer_cookie(steer, endpoint, slot) != 0;
		if (filled)
			steer_clear(steer, endpoint, slot);
	}
}

uint64_t steer_cookie(const struct steer *steer, unsigned int endpoint, unsigned int slot)
{
	uint64_t cookie = 0;

	return bpf_map_lookup_elem(steer->socks_fd[endpoint], &slot, &cookie) < 0 ? 0 : cookie;
}

int steer_worker_get(const struct steer *steer, unsigned int slot, struct rpd_worker *ret)
{
	return bpf_map_lookup_elem(steer->map_fd[STEER_WORKERS], &slot, ret) < 0 ? -errno : 0;
}

int steer_workers(const struct steer *steer, size_t n, struct rpd_worker *ret)
{
	return map_range(steer->map_fd[STEER_WORKERS], 0, n, ret);
}

int steer_worker_set(struct steer *steer, unsigned int slot, const struct rpd_worker *worker)
{
	return bpf_map_update_elem(steer->map_fd[STEER_WORKERS], &slot, worker, BPF_ANY) < 0
	               ? -errno
	               : 0;
}

int steer_worker_set_run(struct steer *steer, unsigned int slot, enum rpd_run run,
                         uint32_t restarts)
{
	struct rpd_worker worker;
	int r = steer_worker_get(steer, slot, &worker);

	if (r < 0)
		return r;
	worker.run = run;
	worker.restarts = restarts;
	return steer_worker_set(steer, slot, &worker);
}

int steer_member_get(const struct steer *steer, uint64_t cookie, struct rpd_member *ret)
{
	return bpf_map_lookup_elem(steer->map_fd[STEER_MEMBERS], &cookie, ret) < 0 ? -errno : 0;
}

int steer_member_set(struct steer *steer, uint64_t cookie, const struct rpd_member *member)
{
	return bpf_map_update_elem(steer->map_fd[STEER_MEMBERS], &cookie, member, BPF_ANY) < 0
	               ? -errno
	               : 0;
}

int steer_member_del(struct steer *steer, uint64_t cookie)
{
	return bpf_map_delete_elem(steer->map_fd[STEER_MEMBERS], &cookie) < 0 ? -errno : 0;
}

int steer_member_next(const struct steer *steer, const uint64_t *cookie, uint64_t *ret)
{
	return bpf_map_get_next_key(steer->map_fd[STEER_MEMBERS], cookie, ret) < 0 ? -errno : 0;
}

int steer_counters(const struct steer *steer, struct counters *ret, struct error *err)
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

/* The program looks for probes only if it is told that there are some. If we are killed in between
 * it is told too many rather than too few. */
int steer_probe_set(struct steer *steer, const struct rpd_probe *source, uint32_t index)
{
	uint32_t *n = &steer->control->n_probes;
	int map = steer->map_fd[STEER_PROBES];
	int r;

	__atomic_fetch_add(n, 1, __ATOMIC_SEQ_CST);
	if (bpf_map_update_elem(map, source, &index, BPF_NOEXIST) == 0)
		return 0;
	r = -errno;
	__atomic_fetch_sub(n, 1, __ATOMIC_SEQ_CST);
	if (r != -EEXIST)
		return r;
	return bpf_map_update_elem(map, source, &index, BPF_EXIST) < 0 ? -errno : 0;
}

int steer_probe_del(struct steer *steer, const struct rpd_probe *source)
{
	if (bpf_map_delete_elem(steer->map_fd[STEER_PROBES], source) < 0)
		return errno == ENOENT ? 0 : -errno;
	__atomic_fetch_sub(&steer->control->n_probes, 1, __ATOMIC_SEQ_CST);
	return 0;
}

void steer_probe_clear(struct steer *steer)
{
	struct rpd_probe source;

	while (bpf_map_get_next_key(steer->map_fd[STEER_PROBES], NULL, &source) == 0)
		if (bpf_map_delete_elem(steer->map_fd[STEER_PROBES], &source) < 0)
			break;
	__atomic_store_n(&steer->control->n_probes, 0, __ATOMIC_SEQ_CST);
	for (unsigned int e = 0; e < steer->service->n_endpoints; e++)
		for (unsigned int i = 0; i < RPD_PROBE_MAX; i++)
			steer_clear(steer, e, RPD_SLOT_PROBE + i);
}
