/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/drain_change.h"

#include "core/schedule_edit.h"
#include "service/service.h"

static int drain_change_edit_drained(struct rpd_schedule *draft,
                                     const struct schedule_change *change, struct error *err)
{
	return schedule_edit_set_state(draft, &change->slots, RPD_SLOT_DRAINING, err);
}

static int drain_change_edit_resumed(struct rpd_schedule *draft,
                                     const struct schedule_change *change, struct error *err)
{
	return schedule_edit_set_state(draft, &change->slots, RPD_SLOT_ACTIVE, err);
}

struct schedule_change drain_change_new(bool drained)
{
	if (drained)
		return (struct schedule_change){.what = "the drain",
		                                .event = RPD_EVENT_drained,
		                                .edit = drain_change_edit_drained};
	return (struct schedule_change){
	        .what = "resume", .event = RPD_EVENT_resumed, .edit = drain_change_edit_resumed};
}

int drain_change_slot(const char *name, unsigned int slot, bool drained, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	const struct invocation i = {.service = name};
	struct schedule_change change = drain_change_new(drained);

	service_init(&service);
	change.slots = (struct slots){.n = 1, .at = {slot}};
	return schedule_change_apply(&i, &change, &service, &observed, err);
}
