/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flip: puts processes into slots of an attached service, all in one step. No command does that, as
 * only `run` changes several slots at once; so a test can kill this one at each of its steps.
 *
 * usage: flip SERVICE SLOT:PID...
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "kern/proc_holders.h"
#include "service/observe.h"
#include "service/service.h"
#include "service/service_endpoint.h"
#include "service/slot_flip.h"

/* Describes a process by the listeners that it has open. */
static void find_newcomer(const struct service *service, const struct observed *o,
                          const struct holder *holders, size_t n, uint32_t pid,
                          struct newcomer *ret)
{
	for (size_t h = 0; h < n; h++)
		for (size_t l = 0; l < o->n_listeners; l++) {
			const struct listener *listener = &o->listeners[l];
			int e = service_endpoint_index(service, &listener->endpoint);

			if (holders[h].id.pid != pid || holders[h].inode != listener->inode)
				continue;
			ret->owner = holders[h];
			ret->listeners[e] = listener;
			ret->fds[e] = holders[h].fd;
		}
	if (!ret->owner.id.pid)
		errx(1, "pid %u has no listener in a group of the service", pid);
}

int main(int argc, char **argv)
{
	_cleanup_free_ struct slot_flip_change *changes = calloc(argc, sizeof(*changes));
	_cleanup_free_ struct newcomer *newcomers = calloc(argc, sizeof(*newcomers));
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_observed_ struct observed o = {};
	_cleanup_service_ struct service service;
	size_t n_holders = 0, n = 0;
	struct error error;

	if (!changes || !newcomers || argc < 3)
		errx(2, "usage: flip SERVICE SLOT:PID...");
	service_init(&service);
	if (service_open(&service, argv[1], &error) < 0 ||
	    observe(&service, OBSERVE_KNOWN, &o, &error) < 0 ||
	    proc_holders_find(o.listeners, o.n_listeners, &holders, &n_holders, &error) < 0)
		errx(1, "%s", error.text);
	for (int i = 2; i < argc; i++) {
		uint32_t pid;

		if (sscanf(argv[i], "%u:%u", &changes[n].slot, &pid) != 2)
			errx(2, "%s is not SLOT:PID", argv[i]);
		find_newcomer(&service, &o, holders, n_holders, pid, &newcomers[n]);
		changes[n].newcomer = &newcomers[n];
		n++;
	}
	if (slot_flip(&service, changes, n, NULL, 0, "flip", &error) < 0)
		errx(1, "%s", error.text);
	return 0;
}
