/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/swap.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "core/schedule_edit.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/steer.h"
#include "service/service_endpoint.h"
#include "service/slot_replace.h"

static bool swap_fd_fits(const struct swap_request *request, int fd)
{
	for (size_t i = 0; i < request->n_fds; i++)
		if (request->fds[i] == fd)
			return true;
	return request->n_fds == 0;
}

static const struct listener *swap_listener_of(const struct observed *o,
                                               const struct holder *holder)
{
	for (size_t l = 0; l < o->n_listeners; l++)
		if (o->listeners[l].inode == holder->inode)
			return &o->listeners[l];
	return NULL;
}

/*
 * Of the process's listeners in one endpoint, chooses the one to admit: in no slot, and served
 * by the process. (nginx workers have the listeners of all their siblings open as well.) Returns
 * false if several are equally likely. *ret: NULL if there is none. @ret_taken: a slot that has one
 * of the listeners, if any.
 */
static bool swap_choose_one(const struct service *service, const struct observed *o,
                            const struct swap_request *request, const struct holder *holders,
                            size_t n, unsigned int endpoint, const struct holder **ret,
                            int *ret_taken)
{
	const struct holder *best = NULL;
	bool unique = true;

	for (size_t i = 0; i < n; i++) {
		const struct listener *listener = swap_listener_of(o, &holders[i]);
		int slot;

		if (holders[i].id.pid != request->pid || !swap_fd_fits(request, holders[i].fd) ||
		    service_endpoint_index(service, &listener->endpoint) != (int)endpoint)
			continue;
		slot = observed_slot_of(o, listener->cookie);
		if (slot >= 0)
			*ret_taken = slot;
		if (slot >= 0 || (best && holders[i].evidence < best->evidence))
			continue;
		unique = !best || holders[i].evidence > best->evidence;
		best = &holders[i];
	}
	*ret = best;
	return unique;
}

static int swap_choose(const struct service *service, const struct observed *o,
                       const struct swap_request *request, const struct holder *holders, size_t n,
                       struct newcomer *ret, struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	char text[ENDPOINT_TEXT_MAX];
	int taken = -1;

	for (unsigned int e = 0; e < info->n_endpoints; e++) {
		const struct holder *best;

		if (!swap_choose_one(service, o, request, holders, n, e, &best, &taken))
			return error_usage(
			        err,
			        "pid %u has several listeners on %s that are in no slot; "
			        "choose with --fd",
			        request->pid,
			        endpoint_format(&info->endpoints[e], text, sizeof(text)));
		if (!best)
			continue;
		ret->listeners[e] = swap_listener_of(o, best);
		ret->fds[e] = best->fd;
		if (ret->owner.id.pid == 0)
			ret->owner = *best;
	}
	if (ret->owner.id.pid == 0 && taken >= 0)
		return error_set(err, -EBUSY, "the listener of pid %u is in slot %d already",
		                 request->pid, taken);
	return 0;
}

/* The newcomer must listen on every endpoint of the slot's worker, or connections to the others
 * would be lost. */
static int swap_check_complete(const struct service *service, const struct observed *o,
                               const struct swap_request *request, const struct newcomer *newcomer,
                               struct error *err)
{
	const struct rpd_service *info = service->steer.service;
	char text[ENDPOINT_TEXT_MAX];

	for (unsigned int e = 0; e < info->n_endpoints; e++) {
		const struct rpd_worker *worker = o->slots[request->slot].worker;

		if (newcomer->listeners[e] || !worker->cookies[e])
			continue;
		return error_set(
		        err, -ENOENT,
		        "pid %u has no listener%s on %s in the group of service '%s' (same "
		        "address, port, uid %u and SO_REUSEPORT are needed)",
		        request->pid, request->n_fds ? " with this descriptor" : "",
		        endpoint_format(&info->endpoints[e], text, sizeof(text)),
		        service->pins.service, info->endpoints[e].uid);
	}
	return 0;
}

int swap(struct service *service, const struct observed *observed,
         const struct swap_request *request, struct error *err)
{
	const struct slots slot = {.n = 1, .at = {request->slot}};
	_cleanup_free_ struct holder *holders = NULL;
	struct newcomer newcomer = {};
	struct process process;
	size_t n;
	int r;

	if (service_is_run(service))
		return error_set(
		        err, -EPERM,
		        "service '%s' belongs to `reuseportd run`: its supervisor manages the "
		        "slots; `reuseportd restart` or `reuseportd reload` replaces workers",
		        service->pins.service);
	r = schedule_edit_check_slots(steer_schedule(&service->steer), &slot, err);
	if (r < 0)
		return r;
	if (proc_identify(request->pid, &process) < 0)
		return error_set(err, -ESRCH, "there is no process %u", request->pid);
	r = proc_holders_find(observed->listeners, observed->n_listeners, &holders, &n, err);
	if (r == 0)
		r = swap_choose(service, observed, request, holders, n, &newcomer, err);
	if (r == 0)
		r = swap_check_complete(service, observed, request, &newcomer, err);
	if (r < 0)
		return r;
	return slot_replace_worker(service, request->slot, &newcomer, NULL, "swap", err);
}
