/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/in_force_rejoin.h"

#include <string.h>

#include "base/cleanup.h"
#include "core/roster.h"
#include "kern/proc_holders.h"
#include "kern/rejoin.h"

/* How many listeners the processes are searched for: there may be thousands, and the search for
 * each takes time. */
#define IN_FORCE_REJOIN_SEARCHED 4

/* Finds the processes that have the listeners open. */
static void in_force_rejoin_find_holders(const struct service *service,
                                         const bool whose[RPD_ENDPOINT_MAX],
                                         const struct rpd_rejoined *rows, size_t n,
                                         struct holder **ret, size_t *ret_n)
{
	struct listener listeners[IN_FORCE_REJOIN_SEARCHED] = {};
	size_t n_searched = 0;
	struct error ignored;

	for (size_t i = 0; i < n && n_searched < IN_FORCE_REJOIN_SEARCHED; i++)
		if (whose[rows[i].endpoint])
			listeners[n_searched++].inode = rows[i].inode;
	if (service_is_run(service))
		proc_holders_find_soon(listeners, n_searched, ret, ret_n, &ignored);
	else
		proc_holders_find(listeners, n_searched, ret, ret_n, &ignored);
}

int in_force_rejoin(const struct service *service, const bool whose[RPD_ENDPOINT_MAX],
                    struct in_force_rejoined ret[RPD_ENDPOINT_MAX], struct error *err)
{
	_cleanup_free_ struct rpd_rejoined *rows = NULL;
	_cleanup_free_ struct holder *holders = NULL;
	size_t n = 0, n_holders = 0;
	int r = rejoin(&service->steer, &rows, &n, err);

	if (r < 0)
		return r;
	memset(ret, 0, RPD_ENDPOINT_MAX * sizeof(*ret));
	in_force_rejoin_find_holders(service, whose, rows, n, &holders, &n_holders);
	for (size_t i = 0; i < n; i++) {
		struct in_force_rejoined *of = &ret[rows[i].endpoint];
		size_t held;
		const struct holder *first =
		        roster_find_holders(holders, n_holders, rows[i].inode, &held);

		of->n++;
		if (held)
			of->pid = first->id.pid;
	}
	return 0;
}
