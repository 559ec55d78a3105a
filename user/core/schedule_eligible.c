/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_eligible.h"

bool schedule_eligible_is_admitted(const struct rpd_slot *slot)
{
	return slot->state == RPD_SLOT_ACTIVE || slot->state == RPD_SLOT_DRAINING;
}

bool schedule_eligible_is_healthy(const struct rpd_slot *slot)
{
	return !(slot->flags & (RPD_SLOT_DEAD | RPD_SLOT_STALLED));
}

/* Marks the slots that the user wants in the ring. Returns whether there are any. */
static bool schedule_eligible_mark_wanted(const struct rpd_schedule *s, bool only_healthy,
                                          bool in[RPD_SLOT_MAX])
{
	bool found = false;

	for (unsigned int i = 0; i < s->n_slots; i++) {
		const struct rpd_slot *slot = &s->slots[i];

		in[i] = slot->state == RPD_SLOT_ACTIVE && slot->weight > 0 &&
		        (s->only_version == RPD_NO_VERSION || slot->version == s->only_version) &&
		        (schedule_eligible_is_healthy(slot) || !only_healthy);
		found |= in[i];
	}
	return found;
}

bool schedule_eligible_mark(const struct rpd_schedule *s, bool in[RPD_SLOT_MAX])
{
	return schedule_eligible_mark_wanted(s, true, in) ||
	       schedule_eligible_mark_wanted(s, false, in);
}

void schedule_eligible_mark_base(const struct rpd_schedule *s, bool in[RPD_SLOT_MAX])
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		in[i] = schedule_eligible_is_admitted(&s->slots[i]) && s->slots[i].weight > 0;
}
