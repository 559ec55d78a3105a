/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rollout_bed.h"

struct slots rollout_bed_first(unsigned int n)
{
	struct slots slots = {.n = n};

	for (unsigned int i = 0; i < n; i++)
		slots.at[i] = i;
	return slots;
}

enum rollout_verdict rollout_bed_next(struct rollout *rollout, unsigned int spare,
                                      unsigned int *ret_slot)
{
	const struct rollout_world world = {.now = 1, .spare = spare, .old_lives = true};

	return rollout_next(rollout, &world, ret_slot);
}
