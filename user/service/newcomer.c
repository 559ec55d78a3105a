/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/newcomer.h"

#include "service/service_endpoint.h"

/* The owner's descriptor for the listener, or -1. */
static int32_t newcomer_find_fd(const struct holder *holders, size_t n_holders, uint32_t inode,
                                uint32_t pid)
{
	size_t n;
	const struct holder *rows = roster_find_holders(holders, n_holders, inode, &n);

	for (size_t i = 0; i < n; i++)
		if (rows[i].id.pid == pid)
			return rows[i].fd;
	return -1;
}

size_t newcomer_from_roster(const struct service *service, const struct roster *roster,
                            size_t index, const struct listener *listeners,
                            const struct holder *holders, size_t n_holders, struct newcomer *ret)
{
	const struct roster_worker *worker = &roster->workers[index];
	size_t n = 0;

	*ret = (struct newcomer){.owner = worker->owner};
	for (size_t g = 0; g < roster->n_groups; g++) {
		const struct listener *listener;
		int e;

		if (worker->listeners[g] < 0)
			continue;
		listener = &listeners[worker->listeners[g]];
		e = service_endpoint_index(service, &roster->groups[g].endpoint);
		ret->listeners[e] = listener;
		ret->fds[e] =
		        newcomer_find_fd(holders, n_holders, listener->inode, worker->owner.id.pid);
		n++;
	}
	return n;
}

bool newcomer_is_in_row(const struct newcomer *newcomer, const struct rpd_worker *row)
{
	return process_same(process_of_row(row), newcomer->owner.id);
}
