/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_probes.h"

#include <errno.h>
#include <bpf/bpf.h>

#include "kern/steer_socks.h"

/* The program searches the map only if n_probes is above 0. A kill in between leaves n_probes too
 * high, never too low. */
int steer_probes_set(struct steer *steer, const struct rpd_probe *source, uint32_t index)
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

int steer_probes_remove(struct steer *steer, const struct rpd_probe *source)
{
	if (bpf_map_delete_elem(steer->map_fd[STEER_PROBES], source) < 0)
		return errno == ENOENT ? 0 : -errno;
	__atomic_fetch_sub(&steer->control->n_probes, 1, __ATOMIC_SEQ_CST);
	return 0;
}

void steer_probes_clear(struct steer *steer)
{
	struct rpd_probe source;

	while (bpf_map_get_next_key(steer->map_fd[STEER_PROBES], NULL, &source) == 0)
		if (bpf_map_delete_elem(steer->map_fd[STEER_PROBES], &source) < 0)
			break;
	__atomic_store_n(&steer->control->n_probes, 0, __ATOMIC_SEQ_CST);
	for (unsigned int e = 0; e < steer->service->n_endpoints; e++)
		for (unsigned int i = 0; i < RPD_PROBE_MAX; i++)
			steer_socks_clear(steer, e, RPD_SLOT_PROBE + i);
}
