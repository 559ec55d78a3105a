/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_former.h"

#include <errno.h>
#include <bpf/bpf.h>

int steer_former_get(const struct steer *steer, uint32_t number, struct rpd_former *ret)
{
	return bpf_map_lookup_elem(steer->map_fd[STEER_FORMER], &number, ret) < 0 ? -errno : 0;
}

int steer_former_set(struct steer *steer, uint32_t number, const struct rpd_former *row)
{
	return bpf_map_update_elem(steer->map_fd[STEER_FORMER], &number, row, BPF_ANY) < 0 ? -errno
	                                                                                   : 0;
}

int steer_former_remove(struct steer *steer, uint32_t number)
{
	return bpf_map_delete_elem(steer->map_fd[STEER_FORMER], &number) < 0 ? -errno : 0;
}

int steer_former_next(const struct steer *steer, const uint32_t *number, uint32_t *ret)
{
	return bpf_map_get_next_key(steer->map_fd[STEER_FORMER], number, ret) < 0 ? -errno : 0;
}
