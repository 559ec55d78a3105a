/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "core/schedule_version.h"

#define SLOTS(...)                                                                                 \
	(&(struct slots){.n = ARRAY_SIZE(((uint16_t[]){__VA_ARGS__})), .at = {__VA_ARGS__}})

#define ORDINARY                                                                                   \
	{                                                                                          \
		.state = RPD_SLOT_ACTIVE, .weight = RPD_WEIGHT_BASE                                \
	}

/* Slots 0 to 2 are ordinary ones of version "v1", number 0; "v2" is number 1. */
static void make_service(struct rpd_schedule *s)
{
	schedule_init(s);
	assert_int_equal(schedule_version_add(s, "v1"), 0);
	assert_int_equal(schedule_version_add(s, "v2"), 1);
	s->n_slots = 3;
	for (unsigned int i = 0; i < 3; i++)
		s->slots[i] = (struct rpd_slot)ORDINARY;
}

static void expect_same(const struct rpd_schedule *a, const struct rpd_schedule *b)
{
	assert_memory_equal(a, b, sizeof(*a));
}

/* ---- Every edit of a slot of every kind ---- */

enum edit {
	DRAIN,
	RESUME,
	WEIGHT,
	LABEL,
	CANARY,
	EDIT_MAX,
};

static int apply(enum edit edit, struct rpd_schedule *s, const struct slots *slots,
                 struct error *err)
{
	switch (edit) {
	case DRAIN:
		return schedule_edit_set_state(s, slots, RPD_SLOT_DRAINING, err);
	case RESUME:
		return schedule_edit_set_state(s, slots, RPD_SLOT_ACTIVE, err);
	case WEIGHT:
		return schedule_edit_set_weight(s, slots, 7, err);
	case LABEL:
		return schedule_edit_set_label(s, slots, "v2", err);
	default:
		return schedule_edit_set_canary(s, slots, 50, err);
	}
}

/* The expected result of the edit, for the slot and its schedule. */
static void apply_by_hand(enum edit edit, struct rpd_schedule *s, struct rpd_slot *slot)
{
	switch (edit) {
	case DRAIN:
		slot->state = RPD_SLOT_DRAINING;
		break;
	case RESUME:
		slot->state = RPD_SLOT_ACTIVE;
		break;
	case WEIGHT:
		slot->weight = 7;
		break;
	case LABEL:
		slot->version = 1;
		break;
	default:
		slot->flags |= RPD_SLOT_CANARY;
		s->canary_permille = 50;
	}
}

#define BUSY  (-EBUSY)
#define USAGE (-EINVAL)

static const struct {
	const char *what;
	struct rpd_slot slot;
	int r[EDIT_MAX]; /* drain, resume, weight, label, canary */
} kinds[] = {
        {"empty", {.state = RPD_SLOT_EMPTY}, {USAGE, USAGE, USAGE, USAGE, USAGE}},
        {"ordinary", ORDINARY, {0}},
        {"canary", {.state = RPD_SLOT_ACTIVE, .weight = 100, .flags = RPD_SLOT_CANARY}, {0}},
        {"stalled", {.state = RPD_SLOT_ACTIVE, .weight = 100, .flags = RPD_SLOT_STALLED}, {0}},
        {"dead",
         {.state = RPD_SLOT_ACTIVE, .weight = 100, .flags = RPD_SLOT_DEAD},
         {[CANARY] = BUSY}},
        {"weight 0", {.state = RPD_SLOT_ACTIVE}, {[CANARY] = BUSY}},
        {"left out", {.state = RPD_SLOT_ACTIVE, .weight = 100, .version = 1}, {[CANARY] = BUSY}},
        {"draining", {.state = RPD_SLOT_DRAINING, .weight = 100}, {[CANARY] = BUSY}},
        {"draining and dead",
         {.state = RPD_SLOT_DRAINING, .weight = 100, .flags = RPD_SLOT_DEAD},
         {[CANARY] = BUSY}},
};

static void every_pair(void **state)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (enum edit edit = 0; edit < EDIT_MAX; edit++) {
			struct rpd_schedule s, wanted;
			struct error err = {};
			int r;

			make_service(&s);
			s.only_version = 0;
			s.slots[1] = kinds[k].slot;
			wanted = s;
			r = apply(edit, &s, SLOTS(1), &err);
			if (r != kinds[k].r[edit])
				fail_msg("edit %d of a slot that is %s: %d, %s", edit,
				         kinds[k].what, r, err.text);
			if (r < 0)
				assert_int_equal(err.status,
				                 r == USAGE ? EXIT_USAGE : EXIT_REFUSED);
			if (r == 0)
				apply_by_hand(edit, &wanted, &wanted.slots[1]);
			if (r != BUSY) /* the draft is not used then */
				expect_same(&s, &wanted);
		}
}

/* Of several slots all are changed, or none if one is bad. */
static void every_slot_or_none(void **state)
{
	for (enum edit edit = 0; edit < EDIT_MAX; edit++) {
		struct rpd_schedule s, wanted;
		struct error err = {};

		make_service(&s);
		wanted = s;
		assert_int_equal(apply(edit, &s, SLOTS(0, 1), &err), 0);
		apply_by_hand(edit, &wanted, &wanted.slots[0]);
		apply_by_hand(edit, &wanted, &wanted.slots[1]);
		expect_same(&s, &wanted);

		make_service(&s);
		wanted = s;
		assert_int_equal(apply(edit, &s, SLOTS(0, 1, 3), &err), USAGE);
		assert_non_null(strstr(err.text, "slot 3;"));
		expect_same(&s, &wanted);

		assert_int_equal(apply(edit, &s, SLOTS(RPD_SLOT_MAX - 1), &err), USAGE);
		assert_int_equal(apply(edit, &s, &(struct slots){}, &err), USAGE);
		assert_int_equal(err.status, EXIT_USAGE);
		expect_same(&s, &wanted);
	}
}

/* ---- Weight ---- */

static void weights(void **state)
{
	struct rpd_schedule s, before;
	struct error err = {};

	make_service(&s);
	assert_int_equal(schedule_edit_set_weight(&s, SLOTS(1), 0, &err), 0);
	assert_int_equal(s.slots[1].weight, 0);
	assert_int_equal(schedule_edit_set_weight(&s, SLOTS(1), RPD_WEIGHT_MAX, &err), 0);
	assert_int_equal(s.slots[1].weight, RPD_WEIGHT_MAX);
	before = s;
	assert_int_equal(schedule_edit_set_weight(&s, SLOTS(1), -1, &err), USAGE);
	assert_int_equal(schedule_edit_set_weight(&s, SLOTS(1), RPD_WEIGHT_MAX + 1, &err), USAGE);
	assert_int_equal(schedule_edit_set_weight(&s, SLOTS(1), 0x10000, &err),
	                 USAGE); /* 0 in 16 bits */
	assert_int_equal(err.status, EXIT_USAGE);
	expect_same(&s, &before);
}

/* ---- Canary ---- */

static void canary_shares(void **state)
{
	struct rpd_schedule s;
	struct error err = {};

	make_service(&s);
	assert_int_equal(schedule_edit_set_canary(&s, SLOTS(0), 0, &err), USAGE);
	assert_int_equal(schedule_edit_set_canary(&s, SLOTS(0), 1000, &err), USAGE);
	assert_int_equal(err.status, EXIT_USAGE);
	assert_int_equal(schedule_edit_set_canary(&s, SLOTS(0), 1, &err), 0);
	assert_int_equal(s.canary_permille, 1);
	assert_int_equal(schedule_edit_set_canary(&s, SLOTS(0), 999, &err), 0);
	assert_int_equal(s.canary_permille, 999);
}

static void canary_moves(void **state)
{
	struct rpd_schedule s, wanted;
	struct error err = {};

	make_service(&s);
	wanted = s;
	assert_int_equal(schedule_edit_set_canary(&s, SLOTS(0, 1), 50, &err), 0);
	assert_int_equal(schedule_edit_set_canary(&s, SLOTS(2), 100, &err), 0);
	assert_int_equal(s.slots[0].flags | s.slots[1].flags, 0);
	assert_int_equal(s.slots[2].flags, RPD_SLOT_CANARY);
	assert_int_equal(s.canary_permille, 100);
	schedule_edit_clear_canary(&s);
	expect_same(&s, &wanted);
	schedule_edit_clear_canary(&s);
	expect_same(&s, &wanted);
}

/* Another slot must take the rest. A slot that takes no connections does not count. */
static void canary_of_all(void **state)
{
	static const struct rpd_slot idle[] = {
	        {.state = RPD_SLOT_EMPTY},
	        {.state = RPD_SLOT_DRAINING, .weight = 100},
	        {.state = RPD_SLOT_ACTIVE, .weight = 0},
	        {.state = RPD_SLOT_ACTIVE, .weight = 100, .version = 1},
	};
	struct rpd_schedule s;
	struct error err = {};

	make_service(&s);
	assert_int_equal(schedule_edit_set_canary(&s, SLOTS(0, 1, 2), 50, &err), BUSY);
	assert_int_equal(err.status, EXIT_REFUSED);
	for (size_t i = 0; i < ARRAY_SIZE(idle); i++) {
		make_service(&s);
		s.only_version = 0;
		s.slots[2] = idle[i];
		assert_int_equal(schedule_edit_set_canary(&s, SLOTS(0), 50, &err), 0);
		assert_int_equal(schedule_edit_set_canary(&s, SLOTS(0, 1), 50, &err), BUSY);
	}
}

/* ---- Versions ---- */

static void labels_of_versions(void **state)
{
	static const char longest[] = "0123456789012345678901234567890";
	struct rpd_schedule s, before;
	struct error err = {};

	make_service(&s);
	assert_int_equal(strlen(longest), RPD_LABEL_MAX - 1);
	assert_int_equal(schedule_edit_set_label(&s, SLOTS(0), longest, &err), 0);
	assert_string_equal(s.versions[s.slots[0].version].label, longest);
	before = s;
	assert_int_equal(schedule_edit_set_label(&s, SLOTS(0), "", &err), USAGE);
	assert_int_equal(
	        schedule_edit_set_label(&s, SLOTS(0), "01234567890123456789012345678901", &err),
	        USAGE);
	assert_int_equal(err.status, EXIT_USAGE);
	expect_same(&s, &before);
}

static void too_many_labels(void **state)
{
	struct rpd_schedule s, before;
	struct error err = {};
	char label[RPD_LABEL_MAX];

	make_service(&s);
	for (unsigned int i = 3; i <= RPD_VERSION_MAX; i++) {
		snprintf(label, sizeof(label), "v%u", i);
		assert_int_equal(schedule_edit_set_label(&s, SLOTS(0), label, &err), 0);
	}
	before = s;
	assert_int_equal(schedule_edit_set_label(&s, SLOTS(1), "one-more", &err), -ENOSPC);
	assert_int_equal(err.status, EXIT_REFUSED);
	expect_same(&s, &before);
	assert_int_equal(schedule_edit_set_label(&s, SLOTS(1), "v2", &err), 0);
	assert_int_equal(s.slots[1].version, 1);
}

static void switch_to_a_version(void **state)
{
	struct rpd_schedule s, before;
	struct error err = {};

	make_service(&s);
	before = s;
	assert_int_equal(schedule_edit_switch_to(&s, "v3", &err), USAGE);
	assert_non_null(strstr(err.text, "'v3'"));
	assert_int_equal(schedule_edit_switch_to(&s, "", &err), USAGE);
	assert_int_equal(err.status, EXIT_USAGE);
	expect_same(&s, &before);
	assert_int_equal(schedule_edit_switch_to(&s, "v2", &err), 0);
	assert_int_equal(s.only_version, 1);
	assert_int_equal(schedule_edit_switch_to(&s, "v1", &err), 0);
	assert_int_equal(s.only_version, 0);
	schedule_edit_switch_to_all(&s);
	expect_same(&s, &before);
	schedule_edit_switch_to_all(&s);
	expect_same(&s, &before);
}

/* ---- Newcomers ---- */

static void fill_an_empty_slot(void **state)
{
	struct rpd_schedule s, wanted;
	struct error err = {};

	make_service(&s);
	wanted = s;
	assert_int_equal(schedule_edit_fill_slot(&s, 5, "v2", &err), 0);
	wanted.n_slots = 6;
	wanted.slots[5] = (struct rpd_slot){
	        .state = RPD_SLOT_ACTIVE, .weight = RPD_WEIGHT_BASE, .version = 1};
	expect_same(&s, &wanted);
	assert_int_equal(schedule_edit_fill_slot(&s, 4, "v1", &err), 0); /* a gap */
	wanted.slots[4] = (struct rpd_slot)ORDINARY;
	expect_same(&s, &wanted);
	assert_int_equal(schedule_edit_fill_slot(&s, RPD_SLOT_MAX - 1, "v3", &err), 0);
	assert_int_equal(s.n_slots, RPD_SLOT_MAX);
	assert_string_equal(s.versions[s.slots[RPD_SLOT_MAX - 1].version].label, "v3");
	assert_int_equal(schedule_edit_fill_slot(&s, 3, "", &err), USAGE);
}

/* The settings of the slot stay; what was observed of its former worker is cleared. */
static void fill_a_slot_again(void **state)
{
	struct rpd_schedule s, wanted;
	struct error err = {};

	make_service(&s);
	s.slots[1] = (struct rpd_slot){.state = RPD_SLOT_DRAINING,
	                               .weight = 0,
	                               .version = 1,
	                               .flags = RPD_SLOT_CANARY | RPD_SLOT_DEAD | RPD_SLOT_STALLED};
	wanted = s;
	wanted.slots[1].flags = RPD_SLOT_CANARY;
	assert_int_equal(schedule_edit_fill_slot(&s, 1, "v1", &err), 0);
	expect_same(&s, &wanted);
}

/* ---- No worker left ---- */

/* A built schedule: served, or with one worker in this state and with these flags. */
static void make_built(struct rpd_schedule *s, bool served, enum rpd_slot_state slot_state,
                       unsigned int flags)
{
	make_service(s);
	s->n_slots = 1;
	if (!served) {
		s->slots[0].state = slot_state;
		s->slots[0].flags = flags;
	}
	schedule_build(s);
}

static void unserved_schedule_needs_force(void **state)
{
	static const struct {
		enum rpd_slot_state state;
		unsigned int flags;
	} unserved[] = {
	        {RPD_SLOT_DRAINING, 0},
	        {RPD_SLOT_ACTIVE, RPD_SLOT_DEAD},
	        {RPD_SLOT_ACTIVE, RPD_SLOT_STALLED},
	        {RPD_SLOT_EMPTY, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(unserved); i++) {
		struct rpd_schedule good, bad;
		struct error err = {};

		make_built(&good, true, 0, 0);
		make_built(&bad, false, unserved[i].state, unserved[i].flags);
		assert_int_equal(schedule_edit_check_served(&good, &good, false, "this", &err), 0);
		assert_int_equal(schedule_edit_check_served(&bad, &good, false, "this", &err), 0);
		assert_int_equal(schedule_edit_check_served(&bad, &bad, false, "this", &err), 0);
		assert_int_equal(schedule_edit_check_served(&good, &bad, true, "this", &err), 0);
		assert_int_equal(schedule_edit_check_served(&good, &bad, false, "draining", &err),
		                 BUSY);
		assert_int_equal(err.status, EXIT_REFUSED);
		assert_memory_equal(err.text, "draining would ", 15);
		assert_non_null(strstr(err.text, "--force"));
	}
}

/* If all slots of the ring are dead, the program still searches for a live one; with an empty ring
 * it refuses connections. */
static void empty_ring_needs_force(void **state)
{
	struct rpd_schedule dead, empty;
	struct error err = {};

	make_built(&dead, false, RPD_SLOT_ACTIVE, RPD_SLOT_DEAD);
	make_built(&empty, false, RPD_SLOT_DRAINING, 0);
	assert_int_not_equal(dead.ring_len, 0);
	assert_int_equal(empty.ring_len, 0);
	assert_int_equal(schedule_edit_check_served(&dead, &empty, false, "drain", &err), BUSY);
	assert_int_equal(schedule_edit_check_served(&dead, &empty, true, "drain", &err), 0);
	assert_int_equal(schedule_edit_check_served(&empty, &dead, false, "resume", &err), 0);
	assert_int_equal(schedule_edit_check_served(&empty, &empty, false, "drain", &err), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_pair),
	        cmocka_unit_test(every_slot_or_none),
	        cmocka_unit_test(weights),
	        cmocka_unit_test(canary_shares),
	        cmocka_unit_test(canary_moves),
	        cmocka_unit_test(canary_of_all),
	        cmocka_unit_test(labels_of_versions),
	        cmocka_unit_test(too_many_labels),
	        cmocka_unit_test(switch_to_a_version),
	        cmocka_unit_test(fill_an_empty_slot),
	        cmocka_unit_test(fill_a_slot_again),
	        cmocka_unit_test(unserved_schedule_needs_force),
	        cmocka_unit_test(empty_ring_needs_force),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
