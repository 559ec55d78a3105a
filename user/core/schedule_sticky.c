/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_sticky.h"

#include <string.h>

#include "core/schedule_eligible.h"
#include "core/schedule_order.h"
#include "core/schedule_plan.h"

/* Length of a sticky ring. Prime, so that a walk with any step visits every entry. */
#define STICKY_LEN 4093

#define NO_SLOT UINT16_MAX

_Static_assert(STICKY_LEN <= RPD_RING_MAX, "sticky ring");
_Static_assert(RPD_SLOT_MAX <= STICKY_LEN, "an entry for every slot");

/* A walk through a sticky table: visits every entry once, in an order that its key decides. */
struct walk {
	uint16_t at;
	uint16_t step;
};

/* One step of Steele, Lea and Flood's SplitMix64. */
static uint64_t schedule_sticky_mix(uint64_t key)
{
	uint64_t z = (key + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static struct walk schedule_sticky_start_walk(unsigned int key)
{
	uint64_t hash = schedule_sticky_mix(key);

	return (struct walk){(uint32_t)hash % STICKY_LEN, 1 + (hash >> 32) % (STICKY_LEN - 1)};
}

static void schedule_sticky_step(struct walk *walk)
{
	walk->at += walk->step;
	if (walk->at >= STICKY_LEN)
		walk->at -= STICKY_LEN;
}

/* Fills the table as Maglev does (Eisenbud et al., NSDI 2016): each slot walks the table in an
 * order of its own, and at its turn takes the next free entry. The round-robin ring is the order of
 * the turns, so each slot gets exactly as many entries as it has there. */
static void schedule_sticky_fill_base(const struct schedule_plan *plan, uint16_t base[STICKY_LEN])
{
	uint16_t turns[RPD_RING_MAX];
	struct walk walks[RPD_SLOT_MAX];

	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		walks[i] = schedule_sticky_start_walk(i);
	for (unsigned int i = 0; i < STICKY_LEN; i++)
		base[i] = NO_SLOT;
	schedule_order_fill(plan, turns);
	for (unsigned int i = 0; i < STICKY_LEN; i++) {
		struct walk *walk = &walks[turns[i]];

		while (base[walk->at] != NO_SLOT)
			schedule_sticky_step(walk);
		base[walk->at] = turns[i];
	}
}

/* Marks the slots that may inherit from a slot of @side that is out of the ring: the slots of its
 * own side, which keeps the canary's share as it is; or if that side is out as a whole, all slots.
 */
static void schedule_sticky_mark_heirs(const struct rpd_schedule *s,
                                       const bool eligible[RPD_SLOT_MAX],
                                       enum schedule_side_name side, bool in[RPD_SLOT_MAX])
{
	bool found = false;

	for (unsigned int i = 0; i < s->n_slots; i++) {
		in[i] = eligible[i] && schedule_plan_side_of(s, i) == side;
		found |= in[i];
	}
	if (!found)
		memcpy(in, eligible, s->n_slots * sizeof(in[0]));
}

/*
 * The slot that gets @entry if its owner in the base table is out of the ring: the first heir on
 * the entry's walk through that table. So each entry ranks all slots in an order of its own, with
 * chances by weight, and goes to the first slot that can have it (which is rendezvous hashing). A
 * slot that leaves moves only its own entries, and gets just these back when it returns.
 */
static uint16_t schedule_sticky_find_heir(const uint16_t base[STICKY_LEN],
                                          const bool heirs[RPD_SLOT_MAX], unsigned int entry)
{
	struct walk walk = schedule_sticky_start_walk(RPD_SLOT_MAX + entry);

	while (!heirs[base[walk.at]])
		schedule_sticky_step(&walk);
	return base[walk.at];
}

/* rounding_ppm describes the base table: chance spreads the entries of a slot that is out of the
 * ring over the others. */
void schedule_sticky_fill(struct rpd_schedule *s, const bool eligible[RPD_SLOT_MAX])
{
	bool in_base[RPD_SLOT_MAX], heirs[SCHEDULE_SIDE_MAX][RPD_SLOT_MAX];
	uint16_t base[STICKY_LEN];
	struct schedule_plan plan;

	schedule_eligible_mark_base(s, in_base);
	schedule_plan_init(&plan, s, in_base);
	while (plan.len < STICKY_LEN)
		schedule_plan_grow(&plan);
	schedule_sticky_fill_base(&plan, base);
	for (unsigned int i = 0; i < SCHEDULE_SIDE_MAX; i++)
		schedule_sticky_mark_heirs(s, eligible, i, heirs[i]);
	for (unsigned int i = 0; i < STICKY_LEN; i++)
		s->ring[i] = eligible[base[i]]
		                     ? base[i]
		                     : schedule_sticky_find_heir(
		                               base, heirs[schedule_plan_side_of(s, base[i])], i);
	schedule_plan_report(&plan, s);
}
