/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three questions, answered one after the other:
 *   Which slots?   schedule_eligible.c
 *   How many entries does each get, and how long is the ring?   schedule_plan.c
 *   What is their order?   round robin: schedule_order.c; sticky: schedule_sticky.c
 * Then schedule_candidates.c lists what the steering program falls back to.
 *
 * All arithmetic is on integers, so the same input gives the same ring everywhere.
 */
#include "core/schedule.h"

#include <string.h>

#include "core/schedule_candidates.h"
#include "core/schedule_eligible.h"
#include "core/schedule_order.h"
#include "core/schedule_plan.h"
#include "core/schedule_sticky.h"
#include "core/schedule_version.h"

static void schedule_fill_round_robin(struct rpd_schedule *s, const bool eligible[RPD_SLOT_MAX])
{
	struct schedule_plan plan;

	schedule_plan_init(&plan, s, eligible);
	schedule_plan_fit(&plan);
	schedule_order_fill(&plan, s->ring);
	schedule_plan_report(&plan, s);
}

static void schedule_count_entries(struct rpd_schedule *s)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		s->slots[i].entries = 0;
	for (unsigned int i = 0; i < s->ring_len; i++)
		s->slots[s->ring[i]].entries++;
}

void schedule_init(struct rpd_schedule *s)
{
	*s = (struct rpd_schedule){.policy = RPD_ROUND_ROBIN,
	                           .choices = RPD_CHOICES_DEFAULT,
	                           .only_version = RPD_NO_VERSION};
}

void schedule_build(struct rpd_schedule *s)
{
	bool eligible[RPD_SLOT_MAX];

	s->ring_len = 0;
	s->rounding_ppm = 0;
	memset(s->ring, 0, sizeof(s->ring));
	memset(s->candidates, 0, sizeof(s->candidates));
	if (schedule_eligible_mark(s, eligible)) {
		if (s->policy == RPD_STICKY)
			schedule_sticky_fill(s, eligible);
		else
			schedule_fill_round_robin(s, eligible);
	}
	schedule_count_entries(s);
	schedule_candidates_list(s);
	schedule_version_forget_unused(s);
}

bool schedule_has_slot(const struct rpd_schedule *s, unsigned int slot)
{
	return slot < s->n_slots && s->slots[slot].entries > 0;
}

bool schedule_is_served(const struct rpd_schedule *s)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (schedule_has_slot(s, i) && schedule_eligible_is_healthy(&s->slots[i]))
			return true;
	return false;
}
