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
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &fd, .ctx_size_in = sizeof(fd));

	if (steer->mark_fd < 0)
		return 0;
	return bpf_prog_test_run_opts(steer->mark_fd, &opts) < 0 ? -errno : -(int)opts.retval;
}

int steer_members_remove(struct steer *steer, uint64_t cookie)
{
	return bpf_map_delete_elem(steer->map_fd[STEER_MEMBERS], &cookie) < 0 ? -errno : 0;
}

static int steer_members_add(struct steer_members *members, const uint64_t *cookies,
                             const struct rpd_member *rows, size_t n)
{
	struct steer_member *list =
	        reallocarray(members->list, members->n + n + 1, sizeof(*members->list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		list[members->n++] = (struct steer_member){cookies[i], rows[i]};
	members->list = list;
	return 0;
}

static int steer_members_compare(const void *a, const void *b)
{
	const struct steer_member *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

int steer_members_list(const struct steer *steer, struct steer_members *ret)
{
	struct rpd_member rows[ROWS_AT_ONCE];
	uint64_t cookies[ROWS_AT_ONCE];
	uint32_t position;
	bool is_end = false, is_first = true;

	*ret = (struct steer_members){};
	while (!is_end) {
		uint32_t got = ROWS_AT_ONCE;
		int r = bpf_map_lookup_batch(steer->map_fd[STEER_MEMBERS],
		                             is_first ? NULL : &position, &position, cookies, rows,
		                             &got, NULL);

		if (r < 0 && errno != ENOENT) /* ENOENT: the end of the map */
			return -errno;
		is_end = r < 0;
		is_first = false;
		r = steer_members_add(ret, cookies, rows, got);
		if (r < 0)
			return r;
	}
	qsort(ret->list, ret->n, sizeof(*ret->list), steer_members_compare);
	return 0;
}

const struct rpd_member *steer_members_find(const struct steer_members *members, uint64_t cookie)
{
	const struct steer_member key = {.cookie = cookie};
	const struct steer_member *found = NULL;

	if (members->n)
		found = bsearch(&key, members->list, members->n, sizeof(key),
		                steer_members_compare);
	return found ? &found->row : NULL;
}

void steer_members_free(struct steer_members *members)
{
	free(members->list);
}
