/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/clock.h"
#include "cli/drain_change.h"
#include "cli/drain_progress.h"
#include "cli/positional.h"
#include "kern/events.h"
#include "service/drain_wait.h"
#include "view/answer.h"
#include "view/drain_view.h"

#define TIMEOUT_S 30 /* the default of --timeout */

/* Waits until the slots, which are drained, are empty, and prints the answer. */
static int cmd_drain_wait(const struct invocation *i, struct service *service,
                          const struct observed *observed, const struct slots *slots,
                          struct error *err)
{
	_cleanup_drain_wait_ struct drain_wait_result result = {};
	struct drain_progress progress;
	const struct drain_wait_request request = {
	        .slots = *slots,
	        .timeout = i->timeout >= 0 ? (double)i->timeout / NS_PER_S : TIMEOUT_S,
	        .close_remaining = i->close_remaining,
	        .progress = drain_progress_print,
	        .data = &progress,
	};
	int r;

	drain_progress_begin(&progress);
	r = drain_wait(service, observed, &request, &result, err);
	drain_progress_end(&progress);
	if (r < 0)
		return r;
	if (result.empty)
		events_note_slots(&service->steer, RPD_EVENT_empty, slots, "");
	answer_print(drain_view_new(service->pins.service, slots, &result), i->json,
	             drain_view_print);
	return result.empty ? EXIT_OK : EXIT_NOT_EMPTY;
}

int cmd_drain(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	struct schedule_change change = drain_change_new(true);
	int r = positional_take_slots(i, 0, &change.slots, err);

	service_init(&service);
	if (r < 0)
		return r;
	if (!i->wait_empty && (i->timeout >= 0 || i->close_remaining))
		return error_usage(err, "--timeout and --close-remaining need --wait");
	if (!i->wait_empty)
		return schedule_change_run(i, &change, err);
	r = schedule_change_apply(i, &change, &service, &observed, err);
	return r < 0 ? r : cmd_drain_wait(i, &service, &observed, &change.slots, err);
}
