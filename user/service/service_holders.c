/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_holders.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"
#include "kern/proc_holders.h"
#include "service/run_dir.h"

/* Pids that are collected. */
struct service_holders_pids {
	uint32_t *list;
	size_t n;
};

static int service_holders_add_pids(struct service_holders_pids *pids, const char *parent,
                                    const char *cgroup)
{
	_cleanup_close_ int fd = cgroup_open(parent, cgroup);
	_cleanup_free_ uint32_t *more = NULL;
	uint32_t *list;
	size_t n = 0;
	int r = fd < 0 ? 0 : cgroup_list_processes(fd, &more, &n);

	if (r < 0 || n == 0)
		return r;
	list = reallocarray(pids->list, pids->n + n, sizeof(*list));
	if (!list)
		return -ENOMEM;
	memcpy(list + pids->n, more, n * sizeof(*list));
	pids->list = list;
	pids->n += n;
	return 0;
}

/* Lists the processes of the workers of `run` that are or were in these slots (NULL: in any): the
 * names of their cgroups begin with the number of the slot. Returns 0, or a negative errno. */
static int service_holders_list_pids(const char *run, const bool *slots,
                                     struct service_holders_pids *ret)
{
	char parent[PATH_MAX];
	char **names = NULL;
	size_t n = 0;
	int r = run_dir_cgroup(run, parent) ? cgroup_list_children(parent, &names, &n) : -ENOENT;

	for (size_t i = 0; i < n; i++) {
		unsigned int slot;

		if (r == 0 && sscanf(names[i], "%u-", &slot) == 1 &&
		    (!slots || (slot < RPD_SLOT_MAX && slots[slot])))
			r = service_holders_add_pids(ret, parent, names[i]);
		free(names[i]);
	}
	free(names);
	return r;
}

int service_holders_find(const char *run, const bool *slots, const struct listener *listeners,
                         size_t n, struct holder **ret, size_t *ret_n, struct error *err)
{
	struct service_holders_pids pids = {};
	int r;

	if (!run)
		return proc_holders_find(listeners, n, ret, ret_n, err);
	if (service_holders_list_pids(run, slots, &pids) < 0 || !pids.n)
		r = proc_holders_find_soon(listeners, n, ret, ret_n, err);
	else
		r = proc_holders_find_among(pids.list, pids.n, listeners, n, ret, ret_n, err);
	free(pids.list);
	return r;
}

int service_holders_find_any(const char *run, const struct listener *listeners, size_t n,
                             struct holder **ret, size_t *ret_n, struct error *err)
{
	const int r = service_holders_find(run, NULL, listeners, n, ret, ret_n, err);

	if (!run || (r == 0 && *ret_n))
		return r;
	return proc_holders_find_soon(listeners, n, ret, ret_n, err);
}
