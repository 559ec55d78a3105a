/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/positional.h"
#include "cli/schedule_change.h"
#include "core/schedule_edit.h"

static int cmd_label_edit(struct rpd_schedule *draft, const struct schedule_change *change,
                          struct error *err)
{
	return schedule_edit_set_label(draft, &change->slots, change->version, err);
}

int cmd_label(struct invocation *i, struct error *err)
{
	struct schedule_change change = {.what = "the new version",
	                                 .event = RPD_EVENT_label,
	                                 .edit = cmd_label_edit,
	                                 .shares = true};
	int r = positional_take_slots(i, 1, &change.slots, err);

	if (r < 0)
		return r;
	change.version = i->args[0];
	r = schedule_edit_check_label(change.version, err);
	if (r < 0)
		return r;
	snprintf(change.detail, sizeof(change.detail), "%s", change.version);
	return schedule_change_run(i, &change, err);
}
