/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/schedule.h"
#include "core/slot_status.h"

/* All that is known of a slot, one bit each. */
enum {
	EMPTY = 0x01,
	DEAD = 0x02,
	STALLED = 0x04,
	DRAINED = 0x08,
	LEFT_OUT = 0x10, /* of a version that `switch` left out */
	CANARY = 0x20,
	STUCK = 0x40,
	EVERYTHING = 0x7f,
};

/* In the order of precedence. */
static const struct {
	unsigned int fact;
	enum slot_status condition;
} ranking[] = {
        {EMPTY, SLOT_STATUS_EMPTY},      {DEAD, SLOT_STATUS_DEAD},
        {STALLED, SLOT_STATUS_STALLED},  {DRAINED, SLOT_STATUS_DRAINING},
        {LEFT_OUT, SLOT_STATUS_STANDBY}, {STUCK, SLOT_STATUS_STUCK},
        {CANARY, SLOT_STATUS_CANARY},
};

static enum slot_status condition_if(unsigned int facts)
{
	struct rpd_schedule s;

	schedule_init(&s);
	s.n_slots = 8;
	s.slots[7] = (struct rpd_slot){
	        .state = facts & EMPTY     ? RPD_SLOT_EMPTY
	                 : facts & DRAINED ? RPD_SLOT_DRAINING
	                                   : RPD_SLOT_ACTIVE,
	        .version = 3,
	        .flags = facts & CANARY ? RPD_SLOT_CANARY : 0,
	};
	if (facts & LEFT_OUT)
		s.only_version = 2;
	return slot_status_decide(&s, 7, !(facts & DEAD), facts & STALLED, facts & STUCK,
	                          RPD_RUN_UP);
}

static void all_combinations(void **state)
{
	for (unsigned int facts = 0; facts <= EVERYTHING; facts++) {
		unsigned int i = 0;

		while (i < ARRAY_SIZE(ranking) && !(facts & ranking[i].fact))
			i++;
		assert_int_equal(condition_if(facts), i < ARRAY_SIZE(ranking) ? ranking[i].condition
		                                                              : SLOT_STATUS_ACTIVE);
	}
}

static void slot_of_another_version(void **state)
{
	struct rpd_schedule s;

	schedule_init(&s);
	s.n_slots = 1;
	s.slots[0] = (struct rpd_slot){.state = RPD_SLOT_ACTIVE, .version = 3};
	s.only_version = 3;
	assert_int_equal(slot_status_decide(&s, 0, true, false, false, RPD_RUN_NONE),
	                 SLOT_STATUS_ACTIVE);
}

/* The supervisor's state is shown only for a slot without a listener. */
static void supervised_slot(void **state)
{
	static const enum slot_status wanted[RPD_RUN_MAX] = {
	        [RPD_RUN_NONE] = SLOT_STATUS_DEAD,
	        [RPD_RUN_UP] = SLOT_STATUS_DEAD,
	        [RPD_RUN_STARTING] = SLOT_STATUS_STARTING,
	        [RPD_RUN_BACKOFF] = SLOT_STATUS_RESTARTING,
	        [RPD_RUN_FAILED] = SLOT_STATUS_FAILED,
	        [RPD_RUN_STOPPED] = SLOT_STATUS_STOPPED,
	};
	struct rpd_schedule s;

	schedule_init(&s);
	s.n_slots = 2;
	s.slots[0].state = RPD_SLOT_ACTIVE;
	for (unsigned int run = 0; run < RPD_RUN_MAX; run++) {
		bool told = wanted[run] != SLOT_STATUS_DEAD;

		assert_int_equal(slot_status_decide(&s, 0, false, false, false, run), wanted[run]);
		assert_int_equal(slot_status_decide(&s, 0, true, false, false, run),
		                 SLOT_STATUS_ACTIVE);
		s.slots[0].state = RPD_SLOT_DRAINING;
		assert_int_equal(slot_status_decide(&s, 0, false, false, false, run), wanted[run]);
		assert_int_equal(slot_status_decide(&s, 0, true, false, false, run),
		                 SLOT_STATUS_DRAINING);
		s.slots[0].state = RPD_SLOT_ACTIVE;
		assert_int_equal(slot_status_decide(&s, 1, false, false, false, run),
		                 told ? wanted[run] : SLOT_STATUS_EMPTY);
	}
}

static void names_differ(void **state)
{
	for (enum slot_status a = 0; a < SLOT_STATUS_MAX; a++) {
		assert_true(slot_status_name(a)[0]);
		for (enum slot_status b = 0; b < a; b++)
			assert_string_not_equal(slot_status_name(a), slot_status_name(b));
	}
	assert_string_equal(slot_status_name(SLOT_STATUS_STANDBY), "standby");
	assert_string_equal(slot_status_name(SLOT_STATUS_DEAD), "dead");
	assert_string_equal(slot_status_name(SLOT_STATUS_RESTARTING), "restarting");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_combinations),
	        cmocka_unit_test(slot_of_another_version),
	        cmocka_unit_test(supervised_slot),
	        cmocka_unit_test(names_differ),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
