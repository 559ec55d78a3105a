/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands that edit the schedule: each is one edit of a draft between begin and commit. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "cli/cmd_drain.h"
#include "cli/show.h"
#include "core/schedule_edit.h"
#include "service/observe.h"
#include "service/schedule_commit.h"
#include "kern/events.h"

/* What is asked of the draft; the command's arguments have been taken apart already. */
struct ask {
	const char *what; /* for messages: "drain" */
	enum rpd_event_kind event;
	int (*edit)(struct rpd_schedule *draft, const struct ask *ask, struct error *err);
	struct slots slots;
	long number;
	const char *label;
	char detail[RPD_LABEL_MAX]; /* of the event */
};

/* Opens the service, looks at it, and puts the edit in force. */
static int cmd_change_apply(struct invocation *i, const struct ask *ask, struct service *service,
                            struct observed *observed, struct error *err)
{
	struct rpd_schedule draft;
	int r = service_open(service, i->service, err);

	if (r == 0)
		r = observe(service, OBSERVE_UNCLEAR, observed, err);
	if (r < 0)
		return r;
	schedule_commit_begin(service, observed, &draft);
	r = ask->edit(&draft, ask, err);
	if (r == 0 && i->wait_empty)
		r = drain_wait_check(service, observed, &ask->slots, err);
	if (r == 0)
		r = schedule_commit(service, observed, &draft, i->force, ask->what, err);
	if (r == 0)
		events_note_slots(&service->steer, ask->event, &ask->slots, ask->detail);
	return r;
}

static int cmd_change_commit(struct invocation *i, const struct ask *ask, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	int r;

	service_init(&service);
	r = cmd_change_apply(i, ask, &service, &observed, err);
	return r < 0 ? r : show_change(&service, i->json, err);
}

static int cmd_change_do_drain(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	return schedule_edit_set_state(draft, &ask->slots, RPD_SLOT_DRAINING, err);
}

static int cmd_change_do_resume(struct rpd_schedule *draft, const struct ask *ask,
                                struct error *err)
{
	return schedule_edit_set_state(draft, &ask->slots, RPD_SLOT_ACTIVE, err);
}

static int cmd_change_do_weight(struct rpd_schedule *draft, const struct ask *ask,
                                struct error *err)
{
	return schedule_edit_set_weight(draft, &ask->slots, ask->number, err);
}

static int cmd_change_do_canary(struct rpd_schedule *draft, const struct ask *ask,
                                struct error *err)
{
	return schedule_edit_set_canary(draft, &ask->slots, ask->number, err);
}

static int cmd_change_do_canary_off(struct rpd_schedule *draft, const struct ask *ask,
                                    struct error *err)
{
	schedule_edit_clear_canary(draft);
	return 0;
}

static int cmd_change_do_label(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	return schedule_edit_set_label(draft, &ask->slots, ask->label, err);
}

static int cmd_change_do_switch(struct rpd_schedule *draft, const struct ask *ask,
                                struct error *err)
{
	return schedule_edit_switch_to(draft, ask->label, err);
}

static int cmd_change_do_switch_off(struct rpd_schedule *draft, const struct ask *ask,
                                    struct error *err)
{
	schedule_edit_switch_to_all(draft);
	return 0;
}

static const struct ask drain = {
        .what = "drain", .event = RPD_EVENT_drained, .edit = cmd_change_do_drain};
static const struct ask resume = {
        .what = "resume", .event = RPD_EVENT_resumed, .edit = cmd_change_do_resume};

int cmd_drain(struct invocation *i, struct error *err)
{
	struct ask ask = drain;
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	int r = take_slot_arguments(i, 0, &ask.slots, err);

	service_init(&service);
	if (r < 0)
		return r;
	if (!i->wait_empty && (i->timeout >= 0 || i->close_remaining))
		return error_usage(err, "--timeout and --close-remaining are for --wait");
	if (!i->wait_empty)
		return cmd_change_commit(i, &ask, err);
	r = cmd_change_apply(i, &ask, &service, &observed, err);
	return r < 0 ? r : cmd_drain_wait(i, &service, &observed, &ask.slots, err);
}

int cmd_resume(struct invocation *i, struct error *err)
{
	struct ask ask = resume;
	int r = take_slot_arguments(i, 0, &ask.slots, err);

	return r < 0 ? r : cmd_change_commit(i, &ask, err);
}

int change_slot(const char *name, unsigned int slot, bool drained, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	struct invocation i = {.service = name};
	struct ask ask = drained ? drain : resume;

	service_init(&service);
	ask.slots = (struct slots){.n = 1, .at = {slot}};
	return cmd_change_apply(&i, &ask, &service, &observed, err);
}

int cmd_weight(struct invocation *i, struct error *err)
{
	struct ask ask = {
	        .what = "that weight", .event = RPD_EVENT_weight, .edit = cmd_change_do_weight};
	int r = take_slot_arguments(i, 1, &ask.slots, err);

	if (r < 0)
		return r;
	if (parse_long(i->args[0], 0, RPD_WEIGHT_MAX, &ask.number) < 0)
		return error_usage(err, "'%s' is no weight: weights are 0 to %d", i->args[0],
		                   RPD_WEIGHT_MAX);
	snprintf(ask.detail, sizeof(ask.detail), "%ld", ask.number);
	return cmd_change_commit(i, &ask, err);
}

int cmd_canary(struct invocation *i, struct error *err)
{
	struct ask ask = {.what = "canary",
	                  .event = RPD_EVENT_canary,
	                  .edit = cmd_change_do_canary,
	                  .number = i->share};
	int r;

	if (i->off == (i->share > 0))
		return error_usage(err, "give --share PERCENT, or --off");
	if (i->off) {
		ask.edit = cmd_change_do_canary_off;
		strcpy(ask.detail, "off");
		r = take_service_argument(i, err);
	} else {
		snprintf(ask.detail, sizeof(ask.detail), "%ld.%ld%%", i->share / 10, i->share % 10);
		r = take_slot_arguments(i, 0, &ask.slots, err);
	}
	return r < 0 ? r : cmd_change_commit(i, &ask, err);
}

int cmd_label(struct invocation *i, struct error *err)
{
	struct ask ask = {.what = "label", .event = RPD_EVENT_label, .edit = cmd_change_do_label};
	int r = take_slot_arguments(i, 1, &ask.slots, err);

	if (r < 0)
		return r;
	ask.label = i->args[0];
	snprintf(ask.detail, sizeof(ask.detail), "%s", ask.label);
	return cmd_change_commit(i, &ask, err);
}

int cmd_switch(struct invocation *i, struct error *err)
{
	struct ask ask = {.what = "switch",
	                  .event = RPD_EVENT_switched,
	                  .edit = i->off ? cmd_change_do_switch_off : cmd_change_do_switch};
	int r = 0;

	if (!i->off) {
		if (i->n_args == 0)
			return error_usage(err, "name the version to switch to, or give --off");
		ask.label = i->args[--i->n_args];
	}
	snprintf(ask.detail, sizeof(ask.detail), "%s", i->off ? "off" : ask.label);
	r = take_service_argument(i, err);
	return r < 0 ? r : cmd_change_commit(i, &ask, err);
}

int cmd_swap(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	struct swap_request request = {.pid = i->swap_pid, .fds = i->fds, .n_fds = i->n_fds};
	struct slots slots;
	int r = take_slot_arguments(i, 0, &slots, err);

	service_init(&service);
	if (r < 0)
		return r;
	if (slots.n != 1 || !request.pid)
		return error_usage(err, "name one slot, and the process by --pid PID");
	request.slot = slots.at[0];
	r = service_open(&service, i->service, err);
	if (r == 0)
		r = observe(&service, OBSERVE_UNCLEAR, &observed, err);
	if (r == 0)
		r = swap(&service, &observed, &request, err);
	if (r == 0)
		events_note(&service.steer, RPD_EVENT_swapped, request.slot, request.pid, NULL);
	return r < 0 ? r : show_change(&service, i->json, err);
}
