/* SPDX-License-Identifier: BSD-2-Clause */
/* Which slots are in the ring, and versions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/schedule.h"
#include "core/schedule_bed.h"
#include "core/schedule_version.h"

/* ---- Slots in the ring ---- */

static void eligible_slots(void **state)
{
	static const struct {
		struct rpd_slot slot;
		bool in;
	} cases[] = {
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1}, true},
	        {{.state = RPD_SLOT_ACTIVE, .weight = RPD_WEIGHT_MAX}, true},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1, .flags = RPD_SLOT_CANARY}, true},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 0}, false},
	        {{.state = RPD_SLOT_EMPTY, .weight = 1}, false},
	        {{.state = RPD_SLOT_DRAINING, .weight = 1}, false},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1, .flags = RPD_SLOT_DEAD}, false},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1, .flags = RPD_SLOT_STALLED}, false},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1, .version = 1}, false},
	};
	struct rpd_schedule s;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases) * RPD_POLICY_MAX; i++) {
		schedule_bed_even(&s, 3);
		s.policy = i % RPD_POLICY_MAX;
		s.only_version = 0;
		schedule_version_add(&s, "v1");
		s.slots[1] = cases[i / RPD_POLICY_MAX].slot;
		schedule_bed_build(&s);
		assert_int_equal(schedule_has_slot(&s, 1), cases[i / RPD_POLICY_MAX].in);
		assert_true(schedule_has_slot(&s, 0) && schedule_has_slot(&s, 2));
		assert_false(schedule_has_slot(&s, 3));
		assert_true(schedule_is_served(&s));
	}
}

static void all_unhealthy_stay(void **state)
{
	struct rpd_schedule s;

	for (unsigned int policy = 0; policy < RPD_POLICY_MAX; policy++) {
		schedule_bed_even(&s, 4);
		s.policy = policy;
		s.slots[0].flags = RPD_SLOT_DEAD;
		s.slots[1].flags = RPD_SLOT_STALLED;
		s.slots[2].state = RPD_SLOT_DRAINING;
		schedule_bed_build(&s);
		assert_int_equal(s.n_ring_slots, 1);
		assert_true(schedule_is_served(&s));

		s.slots[3].state = RPD_SLOT_DRAINING;
		schedule_bed_build(&s);
		assert_int_equal(s.n_ring_slots, 2);
		assert_true(schedule_has_slot(&s, 0) && schedule_has_slot(&s, 1));
		assert_false(schedule_is_served(&s));
	}
}

static void no_slot_is_eligible(void **state)
{
	struct rpd_schedule s;

	for (unsigned int policy = 0; policy < RPD_POLICY_MAX; policy++) {
		schedule_bed_even(&s, 3);
		s.policy = policy;
		s.slots[0].state = RPD_SLOT_DRAINING;
		s.slots[1].weight = 0;
		s.slots[2].state = RPD_SLOT_EMPTY;
		schedule_bed_build(&s);
		assert_int_equal(s.ring_len, 0);
		assert_int_equal(s.n_ring_slots, 0);
		assert_int_equal(s.n_candidates, 2);
		assert_int_equal(s.rounding_ppm, 0);
		assert_false(schedule_is_served(&s));

		s.n_slots = 0;
		schedule_bed_build(&s);
		assert_int_equal(s.ring_len + s.n_candidates, 0);
	}
}

/* ---- Versions and candidates ---- */

static void version_labels(void **state)
{
	struct rpd_schedule s;
	char label[RPD_LABEL_MAX + 1] = "";

	schedule_init(&s);
	assert_int_equal(schedule_version_find(&s, ""), -1);
	assert_int_equal(schedule_version_find(&s, "blue"), -1);
	assert_int_equal(schedule_version_add(&s, ""), -EINVAL);
	assert_int_equal(schedule_version_add(&s, "two words"), -EINVAL);
	assert_int_equal(schedule_version_add(&s, "red\033[31m"), -EINVAL);
	assert_int_equal(schedule_version_add(&s, "\xff"), -EINVAL);
	memset(label, 'x', RPD_LABEL_MAX);
	assert_int_equal(schedule_version_add(&s, label), -EINVAL);
	label[RPD_LABEL_MAX - 1] = 0;
	assert_int_equal(schedule_version_add(&s, label), 0);
	assert_int_equal(schedule_version_add(&s, "blue"), 1);
	assert_int_equal(schedule_version_add(&s, label), 0);
	assert_int_equal(schedule_version_find(&s, "blue"), 1);
	assert_int_equal(schedule_version_find(&s, "blu"), -1);
	for (int v = 2; v < RPD_VERSION_MAX; v++) {
		snprintf(label, sizeof(label), "v%d", v);
		assert_int_equal(schedule_version_add(&s, label), v);
	}
	assert_int_equal(schedule_version_add(&s, "one-more"), -ENOSPC);
	assert_int_equal(schedule_version_add(&s, "blue"), 1);
	s.versions[1] = (struct rpd_version){};
	assert_int_equal(schedule_version_add(&s, "one-more"), 1);
}

static void unused_versions_are_freed(void **state)
{
	struct rpd_schedule s;

	schedule_bed_even(&s, 3);
	for (unsigned int v = 1; v < 5; v++)
		assert_int_equal(schedule_version_add(&s, (char[]){'v', '0' + v, 0}), v);
	s.slots[1].version = 1;
	s.slots[1].state = RPD_SLOT_DRAINING;
	s.slots[2].version = 2;
	s.slots[2].state = RPD_SLOT_EMPTY;
	s.only_version = 3;
	schedule_bed_build(&s);
	assert_int_equal(s.ring_len, 0);
	assert_int_equal(schedule_version_find(&s, "v0"), 0);
	assert_int_equal(schedule_version_find(&s, "v1"), 1);
	assert_int_equal(schedule_version_find(&s, "v2"), -1);
	assert_int_equal(schedule_version_find(&s, "v3"), 3);
	assert_int_equal(schedule_version_find(&s, "v4"), -1);

	s.only_version = RPD_NO_VERSION;
	schedule_bed_build(&s);
	assert_int_equal(schedule_version_find(&s, "v3"), -1);
}

static void candidates_by_version(void **state)
{
	static const uint16_t expected[] = {1, 4, 0, 5, 3, 6, 2};
	struct rpd_schedule s;

	schedule_bed_even(&s, 8);
	schedule_version_add(&s, "v1");
	s.slots[0].version = s.slots[5].version = s.slots[2].version = 1;
	s.slots[2].state = RPD_SLOT_DRAINING;
	s.slots[3].flags = RPD_SLOT_DEAD;
	s.slots[6].weight = 0;
	s.slots[7].state = RPD_SLOT_EMPTY;
	schedule_bed_build(&s);
	assert_int_equal(s.n_ring_slots, 4);
	assert_int_equal(s.n_candidates, 7);
	assert_memory_equal(s.candidates, expected, sizeof(expected));
	assert_int_equal(s.versions[1].first, 2);
	assert_int_equal(s.versions[1].count, 2);
}

/* Random schedules pass the checks of schedule_bed_build(). */
static void random_schedules(void **state)
{
	unsigned int n_empty = 0;

	for (unsigned int i = 0; i < 300; i++) {
		struct rpd_schedule s;

		schedule_bed_random(&s, i % 40 ? 20 : RPD_SLOT_MAX);
		schedule_bed_build(&s);
		n_empty += s.ring_len == 0;
	}
	assert_in_range(n_empty, 1, 150);
}

static int seed(void **state)
{
	seed_start("schedules");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(eligible_slots),
	        cmocka_unit_test(all_unhealthy_stay),
	        cmocka_unit_test(no_slot_is_eligible),
	        cmocka_unit_test(version_labels),
	        cmocka_unit_test(unused_versions_are_freed),
	        cmocka_unit_test(candidates_by_version),
	        cmocka_unit_test(random_schedules),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), seed, NULL);
}
