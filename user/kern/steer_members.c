/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/steer_members.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <bpf/bpf.h>

#define ROWS_AT_ONCE 256

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

int steer_members_mark(struct steer *steer, int fd)
{
	const uint32_t mark = 1;

	return bpf_map_update_elem(steer->map_fd[STEER_MARKS], &fd, &mark, BPF_ANY) < 0 ? -errno
	                                                                                : 0;
}

int steer_members_remove(struct steer *steer, uint64_t cookie)
{
	return bpf_map_delete_elem(steer->map_fd[STEER_MEMBERS], &cookie) < 0 ? -errno : 0;
}

/* Makes room for more rows after those that there are. */
static int steer_members_grow(struct steer_members *members, size_t more)
{
	uint64_t *cookies = reallocarray(members->cookies, members->n + more, sizeof(*cookies));
	struct rpd_member *rows;

	if (!cookies)
		return -ENOMEM;
	members->cookies = cookies;
	rows = reallocarray(members->rows, members->n + more, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	members->rows = rows;
	return 0;
}

int steer_members_list(const struct steer *steer, struct steer_members *ret)
{
	uint32_t position;
	bool is_end = false, is_first = true;

	*ret = (struct steer_members){};
	while (!is_end) {
		uint32_t got = ROWS_AT_ONCE;
		int r = steer_members_grow(ret, got);

		if (r < 0)
			return r;
		r = bpf_map_lookup_batch(steer->map_fd[STEER_MEMBERS], is_first ? NULL : &position,
		                         &position, ret->cookies + ret->n, ret->rows + ret->n, &got,
		                         NULL);
		if (r < 0 && errno != ENOENT) /* ENOENT: the end of the map */
			return -errno;
		is_end = r < 0;
		is_first = false;
		ret->n += got;
	}
	return 0;
}

void steer_members_free(struct steer_members *members)
{
	free(members->cookies);
	free(members->rows);
}
