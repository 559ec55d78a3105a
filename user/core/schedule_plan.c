/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_plan.h"

#include <string.h>

#define PERMILLE 1000
#define PPM      1000000

enum schedule_side_name schedule_plan_side_of(const struct rpd_schedule *s, unsigned int slot)
{
	bool has_canary = s->canary_permille > 0 && s->canary_permille < PERMILLE;

	return has_canary && (s->slots[slot].flags & RPD_SLOT_CANARY) ? SCHEDULE_CANARY
	                                                              : SCHEDULE_REST;
}

void schedule_plan_init(struct schedule_plan *plan, const struct rpd_schedule *s,
                        const bool in[RPD_SLOT_MAX])
{
	struct schedule_side *rest = &plan->sides[SCHEDULE_REST],
	                     *canary = &plan->sides[SCHEDULE_CANARY];

	memset(plan, 0, sizeof(*plan));
	for (unsigned int i = 0; i < s->n_slots; i++) {
		struct schedule_side *side = &plan->sides[schedule_plan_side_of(s, i)];

		if (!in[i])
			continue;
		side->members[side->n_members++] = (struct schedule_member){
		        .slot = i, .weight = s->slots[i].weight, .entries = 1};
		side->weight += s->slots[i].weight;
		side->entries++;
		plan->len++;
	}

	/* One side alone gets the whole ring: a canary needs other workers to compare it with. */
	if (canary->n_members > 0)
		canary->permille = rest->n_members > 0 ? s->canary_permille : PERMILLE;
	rest->permille = PERMILLE - canary->permille;
}

/*
 * Gives the side's next entry to the member that has the fewest entries for its weight. Comparing
 * n + 1/2 is Webster's method of apportionment. It rounds a share to the nearer number; it is exact
 * as soon as that is possible; and one more entry changes no count but one, so a single pass tries
 * all ring lengths. (The method of largest remainders has no such order, and rounds small shares
 * worse.)
 */
static void schedule_plan_grow_side(struct schedule_side *side)
{
	struct schedule_member *neediest = &side->members[0];

	for (unsigned int i = 1; i < side->n_members; i++) {
		struct schedule_member *m = &side->members[i];

		if ((2 * m->entries + 1) * neediest->weight <
		    (2 * neediest->entries + 1) * m->weight)
			neediest = m;
	}
	neediest->entries++;
	side->entries++;
}

/* The canary gets the entry while it has fewer than the whole number nearest to its share. (Each
 * side begins with an entry for every slot. If that is too much for the canary already, the other
 * side gets all further entries.) */
void schedule_plan_grow(struct schedule_plan *plan)
{
	struct schedule_side *rest = &plan->sides[SCHEDULE_REST],
	                     *canary = &plan->sides[SCHEDULE_CANARY];
	unsigned int nearest;

	plan->len++;
	nearest = (plan->len * canary->permille + PERMILLE / 2) / PERMILLE;
	schedule_plan_grow_side(canary->entries < nearest ? canary : rest);
}

/* The difference between the share of @m and its ideal share, relative to the ideal, in millionths,
 * rounded up. With a common denominator the ideal is permille * weight * len, at most 4.2e9, and
 * the actual share is entries * side->weight * 1000, at most 4.2e12: both fit, also times a
 * million. */
static uint64_t schedule_plan_member_error(const struct schedule_member *m,
                                           const struct schedule_side *side, unsigned int len)
{
	uint64_t ideal = (uint64_t)side->permille * m->weight * len;
	uint64_t actual = (uint64_t)m->entries * side->weight * PERMILLE;
	uint64_t error = actual > ideal ? actual - ideal : ideal - actual;

	return (error * PPM + ideal - 1) / ideal;
}

/* The largest error of a member: it is either the member with the most entries for its weight or
 * the member with the fewest. */
static uint64_t schedule_plan_side_error(const struct schedule_side *side, unsigned int len)
{
	const struct schedule_member *most = &side->members[0], *least = most;
	uint64_t over, under;

	if (side->n_members == 0)
		return 0;
	for (unsigned int i = 1; i < side->n_members; i++) {
		const struct schedule_member *m = &side->members[i];

		if (m->entries * most->weight > most->entries * m->weight)
			most = m;
		if (m->entries * least->weight < least->entries * m->weight)
			least = m;
	}
	over = schedule_plan_member_error(most, side, len);
	under = schedule_plan_member_error(least, side, len);
	return over > under ? over : under;
}

/* The largest error of a slot. The share of a side, being a sum, is never further off than its
 * worst slot. */
static uint64_t schedule_plan_error(const struct schedule_plan *plan)
{
	uint64_t rest = schedule_plan_side_error(&plan->sides[SCHEDULE_REST], plan->len);
	uint64_t canary = schedule_plan_side_error(&plan->sides[SCHEDULE_CANARY], plan->len);

	return rest > canary ? rest : canary;
}

void schedule_plan_fit(struct schedule_plan *plan)
{
	struct schedule_plan trial = *plan;
	uint64_t least = schedule_plan_error(&trial);

	while (least > 0 && trial.len < RPD_RING_MAX) {
		uint64_t error;

		schedule_plan_grow(&trial);
		error = schedule_plan_error(&trial);
		if (error < least) {
			least = error;
			*plan = trial;
		}
	}
}

void schedule_plan_report(const struct schedule_plan *plan, struct rpd_schedule *s)
{
	uint64_t error = schedule_plan_error(plan);

	s->ring_len = plan->len;
	s->rounding_ppm = error < UINT32_MAX ? error : UINT32_MAX;
}
