/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_socks.h"

#include <errno.h>
#include <stdbool.h>
#include <bpf/bpf.h>

#include "kern/steer_members.h"

static int steer_socks_put_cell(struct steer *steer, unsigned int endpoint, uint32_t cell, int fd)
{
	uint64_t value = fd;
	const int r = steer_members_mark(steer, fd);

	if (r < 0)
		return r;
	return bpf_map_update_elem(steer->endpoints[endpoint].socks_fd, &cell, &value, BPF_ANY) < 0
	               ? -errno
	               : 0;
}

static int steer_socks_clear_cell(struct steer *steer, unsigned int endpoint, uint32_t cell)
{
	if (steer->endpoints[endpoint].socks_fd < 0)
		return 0;
	if (bpf_map_delete_elem(steer->endpoints[endpoint].socks_fd, &cell) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static uint64_t steer_socks_read_cell(const struct steer *steer, unsigned int endpoint,
                                      uint32_t cell)
{
	uint64_t cookie = 0;

	if (steer->endpoints[endpoint].socks_fd < 0)
		return 0;
	return bpf_map_lookup_elem(steer->endpoints[endpoint].socks_fd, &cell, &cookie) < 0
	               ? 0
	               : cookie;
}

int steer_socks_put(struct steer *steer, unsigned int endpoint, unsigned int slot, int fd)
{
	return steer_socks_put_cell(steer, endpoint, steer_cell(steer, slot), fd);
}

int steer_socks_clear(struct steer *steer, unsigned int endpoint, unsigned int slot)
{
	return steer_socks_clear_cell(steer, endpoint, steer_cell(steer, slot));
}

/* The flag comes first: then a listener that a killed command has left in an idle cell is found. */
int steer_socks_put_idle(struct steer *steer, unsigned int endpoint, unsigned int slot, int fd)
{
	__atomic_fetch_or(&steer->service->flags, RPD_SERVICE_FLIP, __ATOMIC_SEQ_CST);
	return steer_socks_put_cell(steer, endpoint, steer_idle_cell(steer, slot), fd);
}

void steer_socks_clear_idle(struct steer *steer, unsigned int slot)
{
	for (unsigned int e = 0; e < steer->service->n_endpoints; e++)
		steer_socks_clear_cell(steer, e, steer_idle_cell(steer, slot));
}

void steer_socks_note_no_idle(struct steer *steer)
{
	__atomic_fetch_and(&steer->service->flags, ~RPD_SERVICE_FLIP, __ATOMIC_SEQ_CST);
}

void steer_socks_clear_all_idle(struct steer *steer)
{
	if (!(steer->service->flags & RPD_SERVICE_FLIP))
		return;
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		steer_socks_clear_idle(steer, slot);
	steer_socks_note_no_idle(steer);
}

/* The schedule covers all slots. Attach fills them, without gaps, before there is a schedule. */
void steer_socks_clear_all(struct steer *steer, unsigned int endpoint)
{
	unsigned int n_slots =
	        steer->control && steer->schedules ? steer_schedule(steer)->n_slots : 0;
	bool filled = true;

	if (steer->endpoints[endpoint].socks_fd < 0)
		return;
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX && (filled || slot < n_slots); slot++) {
		filled = false;
		for (uint32_t cell = slot; cell < RPD_CELL_MAX; cell += RPD_SLOT_MAX) {
			if (!steer_socks_read_cell(steer, endpoint, cell))
				continue;
			filled = true;
			steer_socks_clear_cell(steer, endpoint, cell);
		}
	}
}

/* Without a schedule, either cell may be in force. */
uint64_t steer_socks_cookie(const struct steer *steer, unsigned int endpoint, unsigned int slot)
{
	const uint64_t cookie = steer_socks_read_cell(steer, endpoint, steer_cell(steer, slot));

	if (cookie || steer->schedules)
		return cookie;
	return steer_socks_read_cell(steer, endpoint, steer_idle_cell(steer, slot));
}
