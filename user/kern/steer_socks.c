/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_socks.h"

#include <errno.h>
#include <stdbool.h>
#include <bpf/bpf.h>

#include "kern/steer_members.h"

int steer_socks_put(struct steer *steer, unsigned int endpoint, unsigned int slot, int fd)
{
	uint64_t value = fd;
	const int r = steer_members_mark(steer, fd);

	if (r < 0)
		return r;
	return bpf_map_update_elem(steer->endpoints[endpoint].socks_fd, &slot, &value, BPF_ANY) < 0
	               ? -errno
	               : 0;
}

int steer_socks_clear(struct steer *steer, unsigned int endpoint, unsigned int slot)
{
	if (steer->endpoints[endpoint].socks_fd < 0)
		return 0;
	if (bpf_map_delete_elem(steer->endpoints[endpoint].socks_fd, &slot) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* Slots are filled without gaps, and the schedule, if there is one, covers them all. While attach
 * or the watcher fills slots there may be more than it covers. */
void steer_socks_clear_from(struct steer *steer, unsigned int endpoint, unsigned int first)
{
	unsigned int n_slots =
	        steer->control && steer->schedules ? steer_schedule(steer)->n_slots : 0;
	bool filled = true;

	if (steer->endpoints[endpoint].socks_fd < 0)
		return;
	for (unsigned int slot = first; slot < RPD_SLOT_MAX && (filled || slot < n_slots); slot++) {
		filled = steer_socks_cookie(steer, endpoint, slot) != 0;
		if (filled)
			steer_socks_clear(steer, endpoint, slot);
	}
}

uint64_t steer_socks_cookie(const struct steer *steer, unsigned int endpoint, unsigned int slot)
{
	uint64_t cookie = 0;

	if (steer->endpoints[endpoint].socks_fd < 0)
		return 0;
	return bpf_map_lookup_elem(steer->endpoints[endpoint].socks_fd, &slot, &cookie) < 0
	               ? 0
	               : cookie;
}
