/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/conn_adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/conns.h"
#include "kern/proc.h"
#include "kern/steer.h"
#include "kern/steer_workers.h"
#include "service/service_endpoint.h"
#include "service/sockets.h"

/* A process that has a slot. */
struct conn_owner {
	uint32_t pid;
	uint16_t generation; /* RPD_ACCOUNT_UNKNOWN if it has several slots */
};

static int conn_adopt_compare_pids(const void *a, const void *b)
{
	const struct conn_owner *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* The processes of the slots, each once. Returns how many there are. */
static size_t conn_adopt_list_owners(const struct service *service, struct conn_owner *owners)
{
	size_t n = 0, kept = 0;

	for (unsigned int slot = 0; slot < steer_schedule(&service->steer)->n_slots; slot++) {
		struct rpd_worker worker;

		if (steer_workers_get(&service->steer, slot, &worker) == 0 && worker.pid)
			owners[n++] = (struct conn_owner){worker.pid, worker.account};
	}
	qsort(owners, n, sizeof(*owners), conn_adopt_compare_pids);
	for (size_t i = 0; i < n; i++)
		if (kept && owners[kept - 1].pid == owners[i].pid)
			owners[kept - 1].generation = RPD_ACCOUNT_UNKNOWN;
		else
			owners[kept++] = owners[i];
	return kept;
}

/* Whether a connection came in by an endpoint of the service, and not by another listener that the
 * kernel prefers for it, such as one on its address to one on all addresses. */
static bool conn_adopt_is_ours(const struct service *service, const struct connection *c,
                               const struct listener *listeners, size_t n)
{
	const struct listener *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (endpoint_may_accept(&listeners[i].endpoint, c->family, c->local, c->ifindex) &&
		    (!best || endpoint_is_more_specific(&listeners[i].endpoint, &best->endpoint)))
			best = &listeners[i];
	return best && service_endpoint_index(service, &best->endpoint) >= 0;
}

struct conn_inode {
	uint32_t inode;
	struct conn_found *found;
};

static int conn_adopt_compare_inodes(const void *a, const void *b)
{
	const struct conn_inode *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

/* Compares the connections with the sockets of one process. */
struct conn_search {
	const struct conn_inode *inodes;
	size_t n;
	uint16_t generation; /* of the process */
};

/* If a socket of the process is one of the connections, this connection belongs to the process. */
static void conn_adopt_on_socket(int fd, uint32_t inode, void *data)
{
	const struct conn_search *search = data;
	const struct conn_inode key = {.inode = inode};
	const struct conn_inode *it =
	        bsearch(&key, search->inodes, search->n, sizeof(key), conn_adopt_compare_inodes);

	if (it)
		it->found->account = search->generation;
}

int conn_adopt(struct service *service, struct error *err)
{
	_cleanup_free_ struct connection *connections = NULL;
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct conn_found *found = NULL;
	_cleanup_free_ struct conn_inode *inodes = NULL;
	_cleanup_free_ struct conn_owner *owners = NULL;
	size_t n, n_listeners, n_owners, n_found = 0;
	int r;

	if (!service->conns.counting)
		return 0;
	r = sockets_listeners(service, &listeners, &n_listeners, err);
	if (r == 0)
		r = sockets_connections(service, true, &connections, &n, err);
	if (r < 0)
		return r;
	found = calloc(n + 1, sizeof(*found));
	inodes = calloc(n + 1, sizeof(*inodes));
	owners = calloc(RPD_SLOT_MAX, sizeof(*owners));
	if (!found || !inodes || !owners)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		if (!conn_adopt_is_ours(service, &connections[i], listeners, n_listeners))
			continue;
		found[n_found] = (struct conn_found){connections[i].cookie, RPD_ACCOUNT_UNKNOWN};
		inodes[n_found] = (struct conn_inode){connections[i].inode, &found[n_found]};
		n_found++;
	}
	qsort(inodes, n_found, sizeof(*inodes), conn_adopt_compare_inodes);
	n_owners = conn_adopt_list_owners(service, owners);
	for (size_t i = 0; n_found && i < n_owners; i++) {
		struct conn_search search = {inodes, n_found, owners[i].generation};

		proc_list_sockets(owners[i].pid, conn_adopt_on_socket, &search);
	}
	return conns_count_found(&service->conns, &service->steer, found, n_found, err);
}
