/* SPDX-License-Identifier: BSD-2-Clause */
/* Sticky rings of core/schedule. */
#include <string.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/schedule.h"
#include "core/schedule_bed.h"
#include "core/schedule_version.h"

/* ---- Sticky rings ---- */

static void even_sticky(struct rpd_schedule *s, unsigned int n)
{
	schedule_bed_even(s, n);
	s->policy = RPD_STICKY;
}

static void sticky_shares(void **state)
{
	struct rpd_schedule s;

	even_sticky(&s, 8);
	schedule_bed_build(&s);
	for (unsigned int i = 0; i < 8; i++)
		assert_in_range(s.slots[i].entries, 511, 512);

	s.slots[7].flags = RPD_SLOT_CANARY;
	s.canary_permille = 50;
	schedule_bed_build(&s);
	assert_int_equal(s.slots[7].entries, 205);
	for (unsigned int i = 0; i < 7; i++)
		assert_in_range(s.slots[i].entries, 555, 556);

	even_sticky(&s, 3);
	s.slots[0].weight = 1;
	s.slots[1].weight = 2;
	s.slots[2].weight = 5;
	schedule_bed_build(&s);
	assert_int_equal(s.slots[0].entries, 512);
	assert_int_equal(s.slots[1].entries, 1023);
	assert_int_equal(s.slots[2].entries, 2558);

	even_sticky(&s, RPD_SLOT_MAX);
	schedule_bed_build(&s);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		assert_in_range(s.slots[i].entries, 3, 4);
}

/* Adjacent entries are independent: no slot has long runs. */
static void sticky_is_mixed(void **state)
{
	struct rpd_schedule s;
	unsigned int repeats = 0;

	even_sticky(&s, 8);
	schedule_bed_build(&s);
	for (unsigned int i = 1; i < s.ring_len; i++)
		repeats += s.ring[i] == s.ring[i - 1];
	assert_in_range(repeats, SCHEDULE_BED_STICKY_LEN / 8 - 80,
	                SCHEDULE_BED_STICKY_LEN / 8 + 80);
}

enum exit_kind {
	DRAINED,
	DEAD,
	STALLED,
	EXIT_KIND_MAX,
};

static void take_out(struct rpd_slot *slot, enum exit_kind how)
{
	if (how == DRAINED)
		slot->state = RPD_SLOT_DRAINING;
	else
		slot->flags |= how == DEAD ? RPD_SLOT_DEAD : RPD_SLOT_STALLED;
}

static void put_back(struct rpd_slot *slot)
{
	slot->state = RPD_SLOT_ACTIVE;
	slot->flags &= ~(RPD_SLOT_DEAD | RPD_SLOT_STALLED);
}

/* Takes @slot out: only its entries may move. */
static void assert_only_its_own_move(struct rpd_schedule *s, unsigned int slot, enum exit_kind how)
{
	struct rpd_schedule before = *s;

	take_out(&s->slots[slot], how);
	schedule_bed_build(s);
	for (unsigned int i = 0; i < SCHEDULE_BED_STICKY_LEN; i++) {
		assert_int_not_equal(s->ring[i], slot);
		if (before.ring[i] != slot)
			assert_int_equal(s->ring[i], before.ring[i]);
	}
	assert_int_equal(s->rounding_ppm, before.rounding_ppm);
}

static void sticky_one_leaves(void **state)
{
	for (unsigned int slot = 0; slot < 8; slot++)
		for (unsigned int how = 0; how < EXIT_KIND_MAX; how++) {
			struct rpd_schedule s, whole;

			even_sticky(&s, 8);
			schedule_bed_build(&s);
			whole = s;
			assert_only_its_own_move(&s, slot, how);
			/* 512 entries for 7 heirs: 73 each, standard deviation 8 */
			for (unsigned int i = 0; i < 8; i++)
				if (i != slot)
					assert_in_range(s.slots[i].entries, 511 + 41, 512 + 105);
			put_back(&s.slots[slot]);
			schedule_bed_build(&s);
			assert_memory_equal(&s, &whole, sizeof(s));
		}
}

/* Heirs get entries by their weight. */
static void sticky_heirs_by_weight(void **state)
{
	struct rpd_schedule s;

	even_sticky(&s, 3);
	s.slots[0].weight = 500;
	s.slots[1].weight = 100;
	s.slots[2].weight = 400;
	schedule_bed_build(&s);
	assert_only_its_own_move(&s, 0, DEAD);
	/* 2,046 entries in 1 : 4, standard deviation 18 */
	assert_in_range(s.slots[1].entries, 409 + 409 - 72, 410 + 409 + 72);
}

/* Any number of slots leave one by one and return in another order. */
static void sticky_many_leave(void **state)
{
	for (unsigned int i = 0; i < 20; i++) {
		struct rpd_schedule s, whole;
		unsigned int stride, n_out;

		schedule_bed_random_mix(&s, i % 10 ? 20 : 300);
		s.policy = RPD_STICKY;
		schedule_bed_build(&s);
		whole = s;
		stride = seed_between(1, s.n_slots);
		while (schedule_bed_divisor(stride, s.n_slots) != 1)
			stride--;
		n_out = seed_between(0, s.n_slots - 1);
		n_out = n_out < 25 ? n_out : 25;
		for (unsigned int k = 0; k < n_out; k++)
			assert_only_its_own_move(&s, k * stride % s.n_slots,
			                         seed_between(0, EXIT_KIND_MAX - 1));
		for (unsigned int k = 0; k < n_out; k++) {
			struct rpd_schedule with = s, without;

			put_back(&with.slots[k * stride % s.n_slots]);
			schedule_bed_build(&with);
			without = with;
			assert_only_its_own_move(&without, k * stride % s.n_slots, DEAD);
			assert_memory_equal(without.ring, s.ring, sizeof(s.ring));
			s = with;
		}
		assert_memory_equal(&s, &whole, sizeof(s));
	}
}

static unsigned int count_canary_entries(const struct rpd_schedule *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->n_slots; i++)
		n += schedule_bed_is_canary(&s->slots[i]) ? s->slots[i].entries : 0;
	return n;
}

static void sticky_canary_keeps_its_share(void **state)
{
	struct rpd_schedule s;
	unsigned int share;

	even_sticky(&s, 8);
	s.canary_permille = 100;
	s.slots[0].flags = s.slots[5].flags = RPD_SLOT_CANARY;
	schedule_bed_build(&s);
	share = count_canary_entries(&s);
	assert_int_equal(share, 409);
	assert_only_its_own_move(&s, 1, DRAINED);
	assert_int_equal(count_canary_entries(&s), share);
	assert_only_its_own_move(&s, 5, DEAD);
	assert_int_equal(s.slots[0].entries, share);
	assert_only_its_own_move(&s, 0, DEAD); /* no canary is left: to the others */
	assert_int_equal(count_canary_entries(&s), 0);
}

static void sticky_base(void **state)
{
	struct rpd_schedule s, before;

	/* a slot without weight is like no slot */
	even_sticky(&s, 8);
	s.slots[3].state = RPD_SLOT_EMPTY;
	schedule_bed_build(&s);
	before = s;
	s.slots[3].state = RPD_SLOT_ACTIVE;
	s.slots[3].weight = 0;
	schedule_bed_build(&s);
	assert_memory_equal(s.ring, before.ring, sizeof(s.ring));

	/* `switch` moves the clients of the other version, and no others */
	even_sticky(&s, 8);
	for (unsigned int i = 0; i < 8; i++)
		s.slots[i].version = i % 2;
	schedule_version_add(&s, "v1");
	schedule_bed_build(&s);
	before = s;
	s.only_version = 1;
	schedule_bed_build(&s);
	for (unsigned int i = 0; i < SCHEDULE_BED_STICKY_LEN; i++) {
		assert_int_equal(s.ring[i] % 2, 1);
		assert_true(s.ring[i] == before.ring[i] || before.ring[i] % 2 == 0);
	}
}

static void sticky_one_joins(void **state)
{
	struct rpd_schedule s, before;
	unsigned int moved = 0;

	even_sticky(&s, 9);
	s.slots[8].state = RPD_SLOT_EMPTY;
	schedule_bed_build(&s);
	before = s;
	s.slots[8].state = RPD_SLOT_ACTIVE;
	schedule_bed_build(&s);
	for (unsigned int i = 0; i < SCHEDULE_BED_STICKY_LEN; i++)
		moved += s.ring[i] != before.ring[i];
	assert_in_range(moved, SCHEDULE_BED_STICKY_LEN / 9, SCHEDULE_BED_STICKY_LEN / 9 * 3 / 2);
}

static int seed(void **state)
{
	seed_start("schedules");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(sticky_shares),
	        cmocka_unit_test(sticky_is_mixed),
	        cmocka_unit_test(sticky_one_leaves),
	        cmocka_unit_test(sticky_heirs_by_weight),
	        cmocka_unit_test(sticky_many_leave),
	        cmocka_unit_test(sticky_canary_keeps_its_share),
	        cmocka_unit_test(sticky_base),
	        cmocka_unit_test(sticky_one_joins),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), seed, NULL);
}
