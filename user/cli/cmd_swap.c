/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/positional.h"
#include "view/service_status.h"
#include "kern/events.h"
#include "service/service_in_force.h"
#include "service/observe.h"
#include "service/swap.h"

int cmd_swap(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	struct swap_request request = {.pid = i->swap_pid, .fds = i->fds, .n_fds = i->n_fds};
	struct slots slots;
	int r = positional_take_slots(i, 0, &slots, err);

	service_init(&service);
	if (r < 0)
		return r;
	if (slots.n != 1 || !request.pid)
		return error_usage(err, "name one slot, and a process with --pid PID");
	request.slot = slots.at[0];
	r = service_open(&service, i->service, err);
	if (r == 0)
		r = service_in_force_require(&service, err);
	if (r == 0)
		r = observe(&service, OBSERVE_UNCLEAR, &observed, err);
	if (r == 0)
		r = swap(&service, &observed, &request, err);
	if (r < 0)
		return r;
	events_note(&service.steer, RPD_EVENT_swapped, request.slot, request.pid, NULL);
	return service_status_print_summary(&service, i->json, err);
}
