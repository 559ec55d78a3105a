/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_edit.h"

#include <errno.h>

#include "core/schedule.h"
#include "core/schedule_version.h"

int schedule_edit_check_slots(const struct rpd_schedule *s, const struct slots *slots,
                              struct error *err)
{
	if (slots->n == 0)
		return error_usage(err, "name at least one slot");
	for (size_t i = 0; i < slots->n; i++) {
		unsigned int slot = slots->at[i];

		if (slot >= s->n_slots || s->slots[slot].state == RPD_SLOT_EMPTY)
			return error_usage(err,
			                   "there is no worker in slot %u; `reuseportd status` "
			                   "shows the slots",
			                   slot);
	}
	return 0;
}

int schedule_edit_set_state(struct rpd_schedule *s, const struct slots *slots,
                            enum rpd_slot_state state, struct error *err)
{
	int r = schedule_edit_check_slots(s, slots, err);

	for (size_t i = 0; r == 0 && i < slots->n; i++)
		s->slots[slots->at[i]].state = state;
	return r;
}

int schedule_edit_set_weight(struct rpd_schedule *s, const struct slots *slots, long weight,
                             struct error *err)
{
	int r = schedule_edit_check_slots(s, slots, err);

	if (r == 0 && (weight < 0 || weight > RPD_WEIGHT_MAX))
		return error_usage(err, "weight %ld is out of range: weights are 0 to %d", weight,
		                   RPD_WEIGHT_MAX);
	for (size_t i = 0; r == 0 && i < slots->n; i++)
		s->slots[slots->at[i]].weight = weight;
	return r;
}

/* Whether the settings allow new connections to @slot. */
static bool schedule_edit_is_wanted(const struct rpd_schedule *s, const struct rpd_slot *slot)
{
	return slot->state == RPD_SLOT_ACTIVE && slot->weight > 0 &&
	       (s->only_version == RPD_NO_VERSION || slot->version == s->only_version);
}

int schedule_edit_set_canary(struct rpd_schedule *s, const struct slots *slots,
                             unsigned int permille, struct error *err)
{
	bool others = false;
	int r = schedule_edit_check_slots(s, slots, err);

	if (r < 0)
		return r;
	if (permille < 1 || permille > 999)
		return error_usage(err, "a canary's share is 0.1 to 99.9 percent");
	schedule_edit_clear_canary(s);
	for (size_t i = 0; i < slots->n; i++) {
		struct rpd_slot *slot = &s->slots[slots->at[i]];

		if (!schedule_edit_is_wanted(s, slot) || (slot->flags & RPD_SLOT_DEAD))
			return error_set(
			        err, -EBUSY,
			        "slot %u takes no connections now (dead, drained, weight 0, or "
			        "of a version that is switched off), so it can't be a "
			        "canary",
			        slots->at[i]);
		slot->flags |= RPD_SLOT_CANARY;
	}
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (schedule_edit_is_wanted(s, &s->slots[i]) &&
		    !(s->slots[i].flags & (RPD_SLOT_CANARY | RPD_SLOT_DEAD)))
			others = true;
	if (!others)
		return error_set(err, -EBUSY,
		                 "every worker would be a canary: leave at least one for the other "
		                 "connections");
	s->canary_permille = permille;
	return 0;
}

void schedule_edit_clear_canary(struct rpd_schedule *s)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		s->slots[i].flags &= ~RPD_SLOT_CANARY;
	s->canary_permille = 0;
}

int schedule_edit_check_label(const char *label, struct error *err)
{
	if (schedule_version_is_label(label))
		return 0;
	return error_usage(err,
	                   "a version has 1 to %d letters, digits or other printable ASCII "
	                   "characters, and no space",
	                   RPD_LABEL_MAX - 1);
}

int schedule_edit_set_label(struct rpd_schedule *s, const struct slots *slots, const char *label,
                            struct error *err)
{
	int version, r = schedule_edit_check_slots(s, slots, err);

	if (r == 0)
		r = schedule_edit_check_label(label, err);
	if (r < 0)
		return r;
	version = schedule_version_add(s, label);
	if (version < 0)
		return error_set(err, version, "there are %d versions already; use one of them",
		                 RPD_VERSION_MAX);
	for (size_t i = 0; i < slots->n; i++)
		s->slots[slots->at[i]].version = version;
	return 0;
}

int schedule_edit_switch_to(struct rpd_schedule *s, const char *label, struct error *err)
{
	int version = schedule_version_find(s, label);

	if (version < 0)
		return error_usage(err,
		                   "no worker has version '%s'; `reuseportd label SLOT... %s` "
		                   "sets it",
		                   label, label);
	s->only_version = version;
	return 0;
}

void schedule_edit_switch_to_all(struct rpd_schedule *s)
{
	s->only_version = RPD_NO_VERSION;
}

int schedule_edit_fill_slot(struct rpd_schedule *s, unsigned int slot, const char *label,
                            struct error *err)
{
	struct rpd_slot *it = &s->slots[slot];

	if (slot >= s->n_slots)
		s->n_slots = slot + 1;
	it->flags &= ~(RPD_SLOT_DEAD | RPD_SLOT_STALLED);
	if (it->state != RPD_SLOT_EMPTY)
		return 0;
	it->state = RPD_SLOT_ACTIVE;
	it->weight = RPD_WEIGHT_BASE;
	return schedule_edit_set_label(s, &(struct slots){.n = 1, .at = {slot}}, label, err);
}

int schedule_edit_check_served(const struct rpd_schedule *in_force,
                               const struct rpd_schedule *draft, bool force, const char *what,
                               struct error *err)
{
	/* If all slots of the ring are dead, the program goes on to any live worker; with an empty
	 * ring it refuses. */
	bool emptied = in_force->ring_len && !draft->ring_len;

	if (force || schedule_is_served(draft) || (!schedule_is_served(in_force) && !emptied))
		return 0;
	return error_set(err, -EBUSY,
	                 "%s would leave no live worker to take new connections, and they would be "
	                 "refused; use --force to do it anyway",
	                 what);
}
