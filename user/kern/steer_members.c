/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_members.h"

#include <errno.h>
#include <bpf/bpf.h>

int steer_members_get(const struct steer *steer, uint64_t cookie, struct rpd_member *ret)
{
	return bpf_map_lookup_elem(steer->map_fd[STEER_MEMBERS], &cookie, ret) < 0 ? -errno : 0;
}

int steer_members_set(struct steer *steer, uint64_t cookie, const struct rpd_member *member)
{
	return bpf_map_update_elem(steer->map_fd[STEER_MEMBERS], &cookie, member, BPF_ANY) < 0
	               ? -errno
	               : 0;
}

int steer_members_remove(struct steer *steer, uint64_t cookie)
{
	return bpf_map_delete_elem(steer->map_fd[STEER_MEMBERS], &cookie) < 0 ? -errno : 0;
}

int steer_members_next(const struct steer *steer, const uint64_t *cookie, uint64_t *ret)
{
	return bpf_map_get_next_key(steer->map_fd[STEER_MEMBERS], cookie, ret) < 0 ? -errno : 0;
}
