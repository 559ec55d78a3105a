/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/positional.h"
#include "cli/schedule_change.h"
#include "core/schedule_edit.h"

static int cmd_canary_edit(struct rpd_schedule *draft, const struct schedule_change *change,
                           struct error *err)
{
	return schedule_edit_set_canary(draft, &change->slots, change->number, err);
}

static int cmd_canary_edit_off(struct rpd_schedule *draft, const struct schedule_change *change,
                               struct error *err)
{
	schedule_edit_clear_canary(draft);
	return 0;
}

int cmd_canary(struct invocation *i, struct error *err)
{
	struct schedule_change change = {.what = "canary",
	                                 .event = RPD_EVENT_canary,
	                                 .edit = cmd_canary_edit,
	                                 .shares = true,
	                                 .number = i->share};
	int r;

	if (i->off == (i->share > 0))
		return error_usage(err, "give --share PERCENT, or --off");
	if (i->off && i->n_args && slots_is_list(i->args[0]))
		return error_usage(err, "--off ends the whole canary: name no slots");
	if (i->off) {
		change.edit = cmd_canary_edit_off;
		strcpy(change.detail, "off");
		r = positional_take_service(i, err);
	} else {
		snprintf(change.detail, sizeof(change.detail), "%ld.%ld%%", i->share / 10,
		         i->share % 10);
		r = positional_take_slots(i, 0, &change.slots, err);
	}
	return r < 0 ? r : schedule_change_run(i, &change, err);
}
