/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_order.h"

/* Smooth weighted round robin as in nginx: at each turn every candidate's credit grows by its
 * weight; the candidate with the most credit gets the turn, and pays the sum of all weights for it.
 */
struct wrr {
	unsigned int n;
	int total;
	int weight[SCHEDULE_GROUP_MAX];
	int credit[SCHEDULE_GROUP_MAX];
};

static void schedule_order_add_weight(struct wrr *w, unsigned int i, int weight)
{
	w->weight[i] += weight;
	w->total += weight;
}

static unsigned int schedule_order_next_turn(struct wrr *w)
{
	unsigned int best = 0;

	for (unsigned int i = 0; i < w->n; i++) {
		w->credit[i] += w->weight[i];
		if (w->credit[i] > w->credit[best])
			best = i;
	}
	w->credit[best] -= w->total;
	return best;
}

/*
 * The turns of a side's slots. Slots with the same number of entries are a group and take turns in
 * slot order, so equal workers are never more than one connection apart. Groups with different
 * numbers of entries are interleaved by weight.
 */
struct wheel {
	const struct schedule_side *side;
	struct wrr groups;
	uint16_t turn[SCHEDULE_GROUP_MAX]; /* the member that has the group's next turn */
};

static void schedule_order_init_wheel(struct wheel *wheel, const struct schedule_side *side)
{
	*wheel = (struct wheel){.side = side};
	for (unsigned int i = 0; i < side->n_members; i++) {
		unsigned int entries = side->members[i].entries, g = 0;

		while (g < wheel->groups.n && side->members[wheel->turn[g]].entries != entries)
			g++;
		if (g == wheel->groups.n)
			wheel->turn[wheel->groups.n++] = i;
		schedule_order_add_weight(&wheel->groups, g, entries);
	}
}

static unsigned int schedule_order_next_slot(struct wheel *wheel)
{
	const struct schedule_side *side = wheel->side;
	unsigned int g = schedule_order_next_turn(&wheel->groups), now = wheel->turn[g], next = now;

	do
		next = (next + 1) % side->n_members;
	while (side->members[next].entries != side->members[now].entries);
	wheel->turn[g] = next;
	return side->members[now].slot;
}

/* First the sides are interleaved, which spreads the canary out whatever slots it has; then the
 * groups of each side; then the slots of each group. */
void schedule_order_fill(const struct schedule_plan *plan, uint16_t ring[RPD_RING_MAX])
{
	struct wrr sides = {.n = SCHEDULE_SIDE_MAX};
	struct wheel wheels[SCHEDULE_SIDE_MAX];

	for (unsigned int i = 0; i < SCHEDULE_SIDE_MAX; i++) {
		schedule_order_add_weight(&sides, i, plan->sides[i].entries);
		schedule_order_init_wheel(&wheels[i], &plan->sides[i]);
	}
	for (unsigned int i = 0; i < plan->len; i++)
		ring[i] = schedule_order_next_slot(&wheels[schedule_order_next_turn(&sides)]);
}
