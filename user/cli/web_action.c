/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/web_action.h"

#include <stdio.h>

#include "base/json_build.h"
#include "cli/ask_supervisor.h"
#include "cli/drain_change.h"
#include "kern/events.h"
#include "kern/pins.h"

/* --- drain, resume */

static int web_action_drain(const struct action *action, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	const struct invocation i = {.service = action->service, .force = action->request.force};
	struct schedule_change change = drain_change_new(action->request.kind == REQUEST_DRAIN);

	service_init(&service);
	change.slots = action->request.slots;
	snprintf(change.detail, sizeof(change.detail), "by %s", action->by);
	return schedule_change_apply(&i, &change, &service, &observed, err);
}

/* --- promote, pause, abort, rollback */

static void web_action_note(const struct action *action)
{
	_cleanup_service_ struct service service;
	char text[RPD_EVENT_TEXT_MAX];
	struct error ignored;

	service_init(&service);
	if (service_peek(&service, action->service, &ignored) < 0)
		return;
	snprintf(text, sizeof(text), "%s by %s", request_action_name(action->request.kind),
	         action->by);
	events_note(&service.steer, RPD_EVENT_deployment, RPD_NO_SLOT, 0, text);
}

static int web_action_ask_supervisor(const struct action *action, struct error *err)
{
	/* Lines of the supervisor go to standard error, as with --json. */
	const struct invocation i = {.service = action->service, .json = true};
	const struct request *asked = &action->request;
	struct json_object *request, *deployment = NULL;
	struct supervised supervised;
	int r = ask_supervisor_find(&i, &supervised, err);

	if (r < 0)
		return r;
	request = ask_supervisor_new_request(&i, request_action_name(asked->kind));
	if (asked->full)
		json_build_flag(request, "full", true);
	if (asked->why[0])
		json_build_text(request, "why", asked->why);
	if (asked->to[0])
		json_build_text(request, "to", asked->to);
	r = ask_supervisor_deploy(&i, supervised.service, request, &deployment, err);
	json_object_put(deployment);
	if (r == 0)
		web_action_note(action);
	return r;
}

int web_action(const struct action *action, struct error *err)
{
	pins_set_waiting(pins_never_wait, PINS_PATIENCE_MS);
	switch (action->request.kind) {
	case REQUEST_DRAIN:
	case REQUEST_RESUME:
		return web_action_drain(action, err);
	default:
		return web_action_ask_supervisor(action, err);
	}
}
