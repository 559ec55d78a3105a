/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_ignored.h"

#include <errno.h>
#include <bpf/bpf.h>

/* The program looks at the map only if n_ignored is above 0. */
int steer_ignored_set(struct steer *steer, const struct rpd_ignored *ignored)
{
	uint32_t zero = 0;

	if (bpf_map_update_elem(steer->map_fd[STEER_IGNORED], &zero, ignored, BPF_ANY) < 0)
		return -errno;
	__atomic_store_n(&steer->control->n_ignored, ignored->n, __ATOMIC_RELEASE);
	return 0;
}

int steer_ignored_read(const struct steer *steer, uint16_t account, struct steer_ignored_count *ret)
{
	struct rpd_load load;
	uint32_t key = account;

	if (bpf_map_lookup_elem(steer->map_fd[STEER_LOADS], &key, &load) < 0)
		return -errno;
	*ret = (struct steer_ignored_count){.opened = load.ignored_opened,
	                                    .reset_by_worker = load.ignored_resets};
	return 0;
}
