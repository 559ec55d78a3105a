/* SPDX-License-Identifier: BSD-2-Clause */
/* The counts of versions only grow, whatever workers get or lose their slots. */
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/schedule.h"
#include "core/schedule_past.h"
#include "core/schedule_version.h"

#define SLOTS 2

/* A service: its schedule, and what the kernel has counted of each generation. */
struct bed {
	struct rpd_schedule s;
	struct conn_count counts[RPD_ACCOUNT_UNKNOWN];
};

static struct bed bed;

static void fill(struct rpd_schedule *s, unsigned int slot, unsigned int generation,
                 const char *label)
{
	s->n_slots = SLOTS;
	s->slots[slot] = (struct rpd_slot){.state = RPD_SLOT_ACTIVE,
	                                   .weight = 1,
	                                   .generation = (uint8_t)generation,
	                                   .version = (uint8_t)schedule_version_add(s, label)};
}

static int begin(void **state)
{
	memset(&bed, 0, sizeof(bed));
	schedule_init(&bed.s);
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		fill(&bed.s, slot, 0, "v1");
	schedule_build(&bed.s);
	return 0;
}

static struct conn_count read_count(const struct rpd_schedule *s, unsigned int slot)
{
	uint16_t account;

	return schedule_past_account(s, slot, &account) ? bed.counts[account]
	                                                : (struct conn_count){};
}

static void commit(struct rpd_schedule draft)
{
	schedule_build(&draft);
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		const struct conn_count was = read_count(&bed.s, slot),
		                        is = read_count(&draft, slot);

		if (!schedule_past_stays(&bed.s, &draft, slot))
			schedule_past_change(&bed.s, &draft, slot, &was, &is);
	}
	bed.s = draft;
}

/* Another worker, or another version of the same one. */
static void put(unsigned int slot, unsigned int generation, const char *label)
{
	struct rpd_schedule draft = bed.s;

	fill(&draft, slot, generation, label);
	commit(draft);
}

static void count(unsigned int slot, unsigned int generation, uint64_t opened, uint64_t resets)
{
	bed.counts[generation * RPD_SLOT_MAX + slot].of[RPD_CONN_opened] += opened;
	bed.counts[generation * RPD_SLOT_MAX + slot].of[RPD_CONN_reset_by_worker] += resets;
}

static struct schedule_past_sum total(const char *label)
{
	const int version = schedule_version_find(&bed.s, label);
	struct schedule_past_sum sum = {};

	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		const struct conn_count it = read_count(&bed.s, slot);

		if (bed.s.slots[slot].version != version)
			continue;
		sum.opened += it.of[RPD_CONN_opened];
		sum.resets += it.of[RPD_CONN_reset_by_worker];
	}
	return version < 0 ? (struct schedule_past_sum){}
	                   : schedule_past_total(&bed.s.versions[version], &sum);
}

static void expect(const char *label, uint64_t opened, uint64_t resets)
{
	const struct schedule_past_sum is = total(label);

	assert_int_equal(is.opened, opened);
	assert_int_equal(is.resets, resets);
}

/* Workers are replaced by workers of the same version; a generation is used again, from 0. */
static void replaced(void **state)
{
	count(0, 0, 10, 1);
	count(1, 0, 5, 0);
	expect("v1", 15, 1);
	put(0, 1, "v1");
	expect("v1", 15, 1);
	count(0, 1, 7, 2);
	expect("v1", 22, 3);
	memset(&bed.counts[0], 0, sizeof(bed.counts[0]));
	put(0, 0, "v1");
	expect("v1", 22, 3);
	count(0, 0, 1, 1);
	expect("v1", 23, 4);
}

/* The worker of the new version leaves again, and the old one comes back with all its counts. What
 * it counted out of its slot is not counted. */
static void rolled_back(void **state)
{
	count(0, 0, 10, 1);
	put(0, 1, "v2");
	expect("v1", 10, 1);
	expect("v2", 0, 0);
	count(0, 1, 4, 4);
	count(0, 0, 3, 0);
	expect("v1", 10, 1);
	expect("v2", 4, 4);
	put(0, 0, "v1");
	expect("v1", 10, 1);
	count(0, 0, 2, 2);
	expect("v1", 12, 3);
	assert_int_equal(schedule_version_find(&bed.s, "v2"), -1);
	put(1, 1, "v2");
	expect("v2", 0, 0);
}

/* `label` gives a worker another version: what it has counted stays with the version before. */
static void relabelled(void **state)
{
	count(0, 0, 10, 1);
	count(1, 0, 5, 0);
	put(0, 0, "v2");
	expect("v1", 15, 1);
	expect("v2", 0, 0);
	count(0, 0, 2, 1);
	expect("v1", 15, 1);
	expect("v2", 2, 1);
	put(0, 0, "v1");
	expect("v1", 15, 1);
	count(0, 0, 1, 0);
	expect("v1", 16, 1);
}

/* A slot without a worker, a worker that is not counted, and a version that nobody has any more. */
static void gone(void **state)
{
	struct rpd_schedule draft = bed.s;

	count(0, 0, 10, 1);
	count(1, 0, 5, 0);
	draft.slots[1].state = RPD_SLOT_EMPTY;
	commit(draft);
	expect("v1", 15, 1);
	put(1, RPD_ACCOUNT_NONE / RPD_SLOT_MAX, "v1");
	expect("v1", 15, 1);
	put(0, 1, "v2");
	put(1, 1, "v2");
	expect("v1", 0, 0);
	put(0, 0, "v1"); /* begins at 0 again, though its worker has counts */
	expect("v1", 0, 0);
	memset(bed.counts, 0, sizeof(bed.counts)); /* counting began again */
	expect("v1", 0, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(replaced, begin),
	        cmocka_unit_test_setup(rolled_back, begin),
	        cmocka_unit_test_setup(relabelled, begin),
	        cmocka_unit_test_setup(gone, begin),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
