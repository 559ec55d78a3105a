/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands that edit the schedule: each is one edit of a draft between begin and commit. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "cli/show.h"
#include "core/edit.h"
#include "core/schedule.h"
#include "daemon/change.h"

/* What is asked of the draft; the command's arguments have been taken apart already. */
struct ask {
	const char *what; /* for messages: "drain" */
	int (*edit)(struct rpd_schedule *draft, const struct ask *ask, struct error *err);
	struct slots slots;
	long number;
	const char *label;
};

/* Opens service @name (NULL: the only one) and does it. */
static int apply(struct service *service, const char *name, const struct ask *ask, bool force,
                 struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	struct rpd_schedule draft;
	int r = service_open(service, name, err);

	if (r == 0)
		r = observe(service, OBSERVE_UNCLEAR, &observed, err);
	if (r < 0)
		return r;
	change_begin(service, &observed, &draft);
	r = ask->edit(&draft, ask, err);
	return r < 0 ? r : change_commit(service, &observed, &draft, force, ask->what, err);
}

static int change(struct invocation *i, const struct ask *ask, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = apply(&service, i->service, ask, i->force, err);
	return r < 0 ? r : show_change(&service, i->json, err);
}

static int do_drain(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	return edit_state(draft, &ask->slots, RPD_SLOT_DRAINING, err);
}

static int do_resume(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	return edit_state(draft, &ask->slots, RPD_SLOT_ACTIVE, err);
}

static int do_weight(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	return edit_weight(draft, &ask->slots, ask->number, err);
}

static int do_canary(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	return edit_canary(draft, &ask->slots, ask->number, err);
}

static int do_canary_off(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	(void)ask;
	(void)err;
	edit_canary_off(draft);
	return 0;
}

static int do_label(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	return edit_label(draft, &ask->slots, ask->label, err);
}

static int do_switch(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	return edit_switch(draft, ask->label, err);
}

static int do_switch_off(struct rpd_schedule *draft, const struct ask *ask, struct error *err)
{
	(void)ask;
	(void)err;
	edit_switch_off(draft);
	return 0;
}

static const struct ask drain = {.what = "drain", .edit = do_drain};
static const struct ask resume = {.what = "resume", .edit = do_resume};

int cmd_drain(struct invocation *i, struct error *err)
{
	struct ask ask = drain;
	int r = take_slot_arguments(i, 0, &ask.slots, err);

	return r < 0 ? r : change(i, &ask, err);
}

int cmd_resume(struct invocation *i, struct error *err)
{
	struct ask ask = resume;
	int r = take_slot_arguments(i, 0, &ask.slots, err);

	return r < 0 ? r : change(i, &ask, err);
}

int change_slot(const char *name, unsigned int slot, bool drained, struct error *err)
{
	_cleanup_service_ struct service service;
	struct ask ask = drained ? drain : resume;

	service_init(&service);
	ask.slots = (struct slots){.n = 1, .at = {slot}};
	return apply(&service, name, &ask, false, err);
}

int cmd_weight(struct invocation *i, struct error *err)
{
	struct ask ask = {.what = "that weight", .edit = do_weight};
	int r = take_slot_arguments(i, 1, &ask.slots, err);

	if (r < 0)
		return r;
	if (parse_long(i->args[0], 0, RPD_WEIGHT_MAX, &ask.number) < 0)
		return error_usage(err, "'%s' is no weight: weights are 0 to %d", i->args[0],
		                   RPD_WEIGHT_MAX);
	return change(i, &ask, err);
}

int cmd_canary(struct invocation *i, struct error *err)
{
	struct ask ask = {.what = "canary", .edit = do_canary, .number = i->share};
	int r;

	if (i->off == (i->share > 0))
		return error_usage(err, "give --share PERCENT, or --off");
	if (i->off) {
		ask.edit = do_canary_off;
		r = take_service_argument(i, err);
	} else {
		r = take_slot_arguments(i, 0, &ask.slots, err);
	}
	return r < 0 ? r : change(i, &ask, err);
}

int cmd_label(struct invocation *i, struct error *err)
{
	struct ask ask = {.what = "label", .edit = do_label};
	int r = take_slot_arguments(i, 1, &ask.slots, err);

	ask.label = i->args[0];
	return r < 0 ? r : change(i, &ask, err);
}

int cmd_switch(struct invocation *i, struct error *err)
{
	struct ask ask = {.what = "switch", .edit = i->off ? do_switch_off : do_switch};
	int r = 0;

	if (!i->off) {
		if (i->n_args == 0)
			return error_usage(err, "name the version to switch to, or give --off");
		ask.label = i->args[--i->n_args];
	}
	r = take_service_argument(i, err);
	return r < 0 ? r : change(i, &ask, err);
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
	return r < 0 ? r : show_change(&service, i->json, err);
}
