/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/positional.h"
#include "cli/schedule_change.h"
#include "core/schedule_edit.h"

static int cmd_switch_edit(struct rpd_schedule *draft, const struct schedule_change *change,
                           struct error *err)
{
	return schedule_edit_switch_to(draft, change->version, err);
}

static int cmd_switch_edit_off(struct rpd_schedule *draft, const struct schedule_change *change,
                               struct error *err)
{
	schedule_edit_switch_to_all(draft);
	return 0;
}

int cmd_switch(struct invocation *i, struct error *err)
{
	struct schedule_change change = {.what = "the switch",
	                                 .event = RPD_EVENT_switched,
	                                 .shares = true,
	                                 .edit = i->off ? cmd_switch_edit_off : cmd_switch_edit};
	int r;

	if (!i->off) {
		if (i->n_args == 0)
			return error_usage(err, "name the version to switch to, or give --off");
		change.version = i->args[--i->n_args];
		r = schedule_edit_check_label(change.version, err);
		if (r < 0)
			return r;
	}
	snprintf(change.detail, sizeof(change.detail), "%s", i->off ? "off" : change.version);
	r = positional_take_service(i, err);
	return r < 0 ? r : schedule_change_run(i, &change, err);
}
