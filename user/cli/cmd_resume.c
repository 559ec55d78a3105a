/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/drain_change.h"
#include "cli/positional.h"

int cmd_resume(struct invocation *i, struct error *err)
{
	struct schedule_change change = drain_change_new(false);
	int r = positional_take_slots(i, 0, &change.slots, err);

	return r < 0 ? r : schedule_change_run(i, &change, err);
}
