/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole deployments with random steps and events. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/rollout_bed.h"

enum {
	TIME = 100,
	DEADLINE = 1000,
	TIMEOUT = 5000,
};

static size_t random_steps(struct rollout_step *steps, unsigned int n_slots)
{
	size_t n = 1 + seed_next(5);
	unsigned int slots = 0, permille = 0;

	for (size_t i = 0; i < n; i++) {
		slots += seed_next(1 + n_slots - slots);
		permille += 1 + seed_next(99);
		steps[i] = (struct rollout_step){.n_slots = i + 1 == n ? n_slots
		                                            : slots    ? slots
		                                                       : 1,
		                                 .permille = i + 1 == n ? 0 : permille,
		                                 .time = seed_next(TIME),
		                                 .pauses = seed_next(4) == 0,
		                                 .judged = seed_next(2),
		                                 .at_once = true};
	}
	return n;
}

static void random_event(struct rollout *rollout, int64_t now)
{
	const unsigned int slot = seed_next(rollout->slots.n);

	switch (seed_next(16)) {
	case 0:
		rollout_record(rollout, slot, seed_next(4) ? ROLLOUT_READY : ROLLOUT_FAILED);
		break;
	case 1:
		rollout_pause(rollout, now);
		break;
	case 2:
		rollout_promote(rollout, seed_next(8) == 0);
		break;
	case 3:
		if (seed_next(20) == 0)
			rollout_abort(rollout);
		break;
	case 4:
		rollout_judge(rollout, ROLLOUT_NO_TRAFFIC);
		break;
	case 5:
		if (rollout->in_force)
			rollout_judge(rollout, seed_next(20) ? ROLLOUT_GOOD : ROLLOUT_BAD);
		break;
	case 6:
	case 7:
		if (rollout->at_gate)
			rollout_open_gate(rollout);
		break;
	default:
		if (rollout->phase[slot] == ROLLOUT_STARTED)
			rollout_record(rollout, slot, ROLLOUT_READY);
	}
}

/* What FLIP promises: all workers of the step wait or have their slots, and no other ones. */
static void check_flip(const struct rollout *rollout)
{
	const unsigned int n = rollout->steps[rollout->step].n_slots;

	assert_false(rollout->in_force);
	assert_int_equal(rollout->halt, ROLLOUT_GOES_ON);
	for (size_t i = 0; i < rollout->slots.n; i++)
		assert_true(rollout->phase[i] == ROLLOUT_READY ||
		            rollout->phase[i] == ROLLOUT_REPLACED ||
		            (i >= n && rollout->phase[i] == ROLLOUT_PENDING));
}

/* Random events: steps come one after the other, each once; it is rolled back only to a version
 * that lives; and it ends. */
static void random_deployments(void **context)
{
	unsigned int ends[ROLLOUT_ROLLBACK + 1] = {};

	seed_start("deployments");
	for (int course = 0; course < 5000; course++) {
		const struct slots slots = rollout_bed_first(1 + seed_next(8));
		struct rollout_step steps[ROLLOUT_STEPS_MAX];
		const size_t n_steps = random_steps(steps, slots.n);
		struct rollout_world world = {.spare = ROLLOUT_ANY, .old_lives = true};
		enum rollout_verdict verdict = ROLLOUT_WAIT;
		int64_t last_step = -1, n_events = 0;
		struct rollout rollout;
		unsigned int slot;

		rollout_begin(&rollout, &slots, 1 + seed_next(3), false);
		rollout_set_steps(&rollout, steps, n_steps);
		rollout.keeps_old = true;
		rollout.deadline = DEADLINE;
		rollout.pause_timeout = TIMEOUT;
		rollout.gated = seed_next(2);
		while (verdict != ROLLOUT_COMMIT && verdict != ROLLOUT_ROLLBACK) {
			const int64_t time = rollout_next_time(&rollout);

			assert_true(n_events++ < 100000);
			world.old_lives = seed_next(10) || n_events > 50000;
			world.now += seed_next(8) || time <= world.now ? 1 + seed_next(5)
			                                               : time - world.now;
			if (n_events < 50000)
				random_event(&rollout, world.now);
			else if (rollout.phase[slot = seed_next(slots.n)] == ROLLOUT_STARTED)
				rollout_record(&rollout, slot, ROLLOUT_READY);
			verdict = rollout_next(&rollout, &world, &slot);
			assert_true(rollout_count(&rollout, ROLLOUT_STARTED) <= rollout.batch);
			if (verdict == ROLLOUT_FLIP) {
				check_flip(&rollout);
				assert_true((int64_t)rollout.step >= last_step);
				last_step = (int64_t)rollout.step;
				rollout_note_flip(&rollout, world.now);
			}
		}
		assert_true(verdict == ROLLOUT_COMMIT || world.old_lives);
		if (verdict == ROLLOUT_COMMIT)
			assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), slots.n);
		ends[verdict]++;
	}
	assert_true(ends[ROLLOUT_COMMIT] > 100 && ends[ROLLOUT_ROLLBACK] > 100);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(random_deployments),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
