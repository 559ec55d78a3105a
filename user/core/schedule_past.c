/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_past.h"

#include <string.h>

#include "core/schedule_eligible.h"
#include "core/schedule_version.h"

bool schedule_past_account(const struct rpd_schedule *s, unsigned int slot, uint16_t *ret)
{
	const struct rpd_slot *it = &s->slots[slot];

	if (slot >= s->n_slots || !schedule_eligible_is_admitted(it) ||
	    it->generation >= RPD_ACCOUNT_GENERATIONS)
		return false;
	*ret = (uint16_t)(it->generation * RPD_SLOT_MAX + slot);
	return true;
}

bool schedule_past_stays(const struct rpd_schedule *before, const struct rpd_schedule *draft,
                         unsigned int slot)
{
	uint16_t was, is;
	const bool had = schedule_past_account(before, slot, &was);

	if (had != schedule_past_account(draft, slot, &is) || !had)
		return !had;
	return was == is && !strcmp(before->versions[before->slots[slot].version].label,
	                            draft->versions[draft->slots[slot].version].label);
}

/* The numbers wrap: a worker that comes back to its version with all its counts leaves less than 0
 * until they are added again. */
void schedule_past_change(const struct rpd_schedule *before, struct rpd_schedule *draft,
                          unsigned int slot, const struct conn_count *was,
                          const struct conn_count *is)
{
	uint16_t account;

	if (schedule_past_account(before, slot, &account)) {
		const int left = schedule_version_find(
		        draft, before->versions[before->slots[slot].version].label);

		if (left >= 0) {
			draft->versions[left].past_opened += was->of[RPD_CONN_opened];
			draft->versions[left].past_resets += was->of[RPD_CONN_reset_by_worker];
		}
	}
	if (schedule_past_account(draft, slot, &account)) {
		struct rpd_version *come = &draft->versions[draft->slots[slot].version];

		come->past_opened -= is->of[RPD_CONN_opened];
		come->past_resets -= is->of[RPD_CONN_reset_by_worker];
	}
}

/* Below 0 only if the kernel has begun to count from 0 again. */
static uint64_t schedule_past_add(uint64_t past, uint64_t now)
{
	const uint64_t sum = past + now;

	return sum >> 63 ? 0 : sum;
}

struct schedule_past_sum schedule_past_total(const struct rpd_version *version,
                                             const struct schedule_past_sum *sum)
{
	return (struct schedule_past_sum){
	        .opened = schedule_past_add(version->past_opened, sum->opened),
	        .resets = schedule_past_add(version->past_resets, sum->resets),
	};
}
