/* SPDX-License-Identifier: BSD-2-Clause */
/* core/rollout.c as a reload uses it: one step, without a share. */
#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/rollout_bed.h"

static void in_batches(void **context)
{
	const struct slots slots = rollout_bed_first(3);
	struct rollout rollout;
	unsigned int slot;

	rollout_begin(&rollout, &slots, 2, false);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_START);
	assert_int_equal(slot, 0);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_START);
	assert_int_equal(slot, 1);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_WAIT);
	rollout_record(&rollout, 1, ROLLOUT_REPLACED);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_START);
	assert_int_equal(slot, 2);
	rollout_record(&rollout, 2, ROLLOUT_REPLACED);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_WAIT);
	rollout_record(&rollout, 0, ROLLOUT_REPLACED);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_COMMIT);
}

static void rollback_on_failure(void **context)
{
	const struct slots slots = rollout_bed_first(3);
	struct rollout rollout;
	unsigned int slot;

	rollout_begin(&rollout, &slots, 1, false);
	rollout_bed_next(&rollout, ROLLOUT_ANY, &slot);
	rollout_record(&rollout, 0, ROLLOUT_REPLACED);
	rollout_bed_next(&rollout, ROLLOUT_ANY, &slot);
	rollout_record(&rollout, 1, ROLLOUT_FAILED);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_ROLLBACK);
	/* Also a worker that fails after it was admitted. */
	rollout_begin(&rollout, &slots, 1, false);
	rollout_bed_next(&rollout, ROLLOUT_ANY, &slot);
	rollout_record(&rollout, 0, ROLLOUT_REPLACED);
	rollout_record(&rollout, 0, ROLLOUT_FAILED);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_ROLLBACK);
}

/* Events of slots that were not started are ignored. */
static void slot_not_started_yet(void **context)
{
	const struct slots slots = rollout_bed_first(2);
	struct rollout rollout;
	unsigned int slot;

	rollout_begin(&rollout, &slots, 1, false);
	rollout_bed_next(&rollout, ROLLOUT_ANY, &slot);
	rollout_record(&rollout, 1, ROLLOUT_FAILED);
	rollout_record(&rollout, 77, ROLLOUT_FAILED);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_WAIT);
}

/* In place: starts in parallel only while another worker is live. */
static void in_place(void **context)
{
	const struct slots slots = rollout_bed_first(3);
	struct rollout rollout;
	unsigned int slot;

	rollout_begin(&rollout, &slots, 3, false);
	assert_int_equal(rollout_bed_next(&rollout, 2, &slot), ROLLOUT_START);
	assert_int_equal(rollout_bed_next(&rollout, 1, &slot), ROLLOUT_START);
	assert_int_equal(rollout_bed_next(&rollout, 0, &slot), ROLLOUT_WAIT);
	rollout_record(&rollout, 0, ROLLOUT_REPLACED);
	assert_int_equal(rollout_bed_next(&rollout, 0, &slot), ROLLOUT_WAIT);
	rollout_record(&rollout, 1, ROLLOUT_REPLACED);
	assert_int_equal(rollout_bed_next(&rollout, 0, &slot), ROLLOUT_START);
	assert_int_equal(slot, 2);
	rollout_record(&rollout, 2, ROLLOUT_REPLACED);
	assert_int_equal(rollout_bed_next(&rollout, 0, &slot), ROLLOUT_COMMIT);
}

/* Random failures: at most a batch is started at a time, each slot is started once, and the rollout
 * ends. */
static void random_rollouts(void **context)
{
	seed_start("courses");
	for (int course = 0; course < 5000; course++) {
		const struct slots slots = rollout_bed_first(1 + seed_next(20));
		unsigned int batch = seed_next(6), slot, started[20] = {0}, failed = 0;
		bool keep_going = seed_next(2);
		enum rollout_verdict verdict;
		struct rollout rollout;

		rollout_begin(&rollout, &slots, batch, keep_going);
		for (;;) {
			verdict = rollout_bed_next(&rollout, ROLLOUT_ANY, &slot);
			assert_true(rollout_count(&rollout, ROLLOUT_STARTED) <=
			            (batch ? batch : 1));
			if (verdict == ROLLOUT_START) {
				started[slot]++;
				continue;
			}
			if (verdict != ROLLOUT_WAIT)
				break;
			do {
				slot = seed_next(slots.n);
			} while (rollout.phase[slot] != ROLLOUT_STARTED);
			if (seed_next(10) == 0)
				failed++;
			rollout_record(&rollout, slot,
			               rollout.phase[slot] == ROLLOUT_STARTED && failed &&
			                               rollout_count(&rollout, ROLLOUT_FAILED) <
			                                       failed
			                       ? ROLLOUT_FAILED
			                       : ROLLOUT_REPLACED);
		}
		if (verdict == ROLLOUT_COMMIT)
			for (unsigned int i = 0; i < slots.n; i++)
				assert_int_equal(started[i], 1);
		else
			assert_true(!keep_going && failed);
		assert_int_equal(rollout_count(&rollout, ROLLOUT_FAILED), failed);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(in_batches),           cmocka_unit_test(rollback_on_failure),
	        cmocka_unit_test(slot_not_started_yet), cmocka_unit_test(in_place),
	        cmocka_unit_test(random_rollouts),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
