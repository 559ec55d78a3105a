/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "cli/positional.h"
#include "cli/schedule_change.h"
#include "core/schedule_edit.h"

static int cmd_weight_edit(struct rpd_schedule *draft, const struct schedule_change *change,
                           struct error *err)
{
	return schedule_edit_set_weight(draft, &change->slots, change->number, err);
}

int cmd_weight(struct invocation *i, struct error *err)
{
	struct schedule_change change = {.what = "the new weight",
	                                 .event = RPD_EVENT_weight,
	                                 .edit = cmd_weight_edit,
	                                 .shares = true};
	int r = positional_take_slots(i, 1, &change.slots, err);

	if (r < 0)
		return r;
	if (parse_long(i->args[0], 0, RPD_WEIGHT_MAX, &change.number) < 0)
		return error_usage(err, "'%s' is not a weight: weights are 0 to %d", i->args[0],
		                   RPD_WEIGHT_MAX);
	snprintf(change.detail, sizeof(change.detail), "%ld", change.number);
	return schedule_change_run(i, &change, err);
}
