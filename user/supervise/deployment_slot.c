/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_slot.h"

#include <errno.h>

#include "supervise/deployment_note.h"
#include "supervise/placement.h"
#include "supervise/report.h"
#include "supervise/slot.h"

int deployment_slot_choose(const struct supervisor *sup, struct deployment *it, struct error *err)
{
	const unsigned int added = sup->n_slots;

	if (added == RPD_SLOT_MAX)
		return error_set(err, -ENOSPC, "a service has at most %d slots", RPD_SLOT_MAX);
	it->n_slots_before = added;
	it->slots = (struct slots){.n = 2, .at = {added, it->slots.at[0]}};
	return 0;
}

int deployment_slot_add(struct supervisor *sup, const struct deployment *it, struct error *err)
{
	const unsigned int added = it->n_slots_before;
	int r;

	if (!added)
		return 0;
	if (sup->n_slots == added) {
		r = placement_resize(sup, added + 1, err);
		if (r < 0)
			return r;
		sup->n_slots = added + 1;
	}
	if (!sup->slots[added].current)
		slot_leave(sup, added, RPD_RUN_STOPPED, false);
	return 0;
}

void deployment_slot_drop(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;
	struct error err = {};

	if (!it->n_slots_before)
		return;
	if (sup->n_slots == it->n_slots_before + 1 && slot_scale(sup, it->n_slots_before, &err) < 0)
		report_line(sup, "%s", err.text);
	it->n_slots_before = 0;
	deployment_note_write(sup);
}
