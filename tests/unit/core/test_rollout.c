/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/rollout_bed.h"

enum {
	TIME = 100,
	DEADLINE = 1000,
	TIMEOUT = 5000,
};

/* One slot of four; two; all. */
static void begin_canary(struct rollout *rollout, bool pauses)
{
	const struct slots slots = rollout_bed_first(4);
	const struct rollout_step steps[] = {
	        {.n_slots = 1, .permille = 50, .time = TIME, .judged = true, .at_once = true},
	        {.n_slots = 2, .permille = 250, .time = TIME, .pauses = pauses, .at_once = true},
	        {.n_slots = 4, .at_once = true},
	};

	rollout_begin(rollout, &slots, 2, false);
	rollout_set_steps(rollout, steps, ARRAY_SIZE(steps));
	rollout->keeps_old = true;
	rollout->deadline = DEADLINE;
	rollout->pause_timeout = TIMEOUT;
}

static enum rollout_verdict at(struct rollout *rollout, int64_t now)
{
	const struct rollout_world world = {.now = now, .spare = ROLLOUT_ANY, .old_lives = true};
	unsigned int slot;

	return rollout_next(rollout, &world, &slot);
}

/* Starts the workers of the step, and puts it in force at @now. */
static void put_in_force(struct rollout *rollout, int64_t now)
{
	enum rollout_verdict verdict;

	while ((verdict = at(rollout, now)) != ROLLOUT_FLIP)
		for (unsigned int slot = 0; slot < rollout->slots.n; slot++)
			if (rollout->phase[slot] == ROLLOUT_STARTED)
				rollout_record(rollout, slot, ROLLOUT_READY);
	rollout_note_flip(rollout, now);
}

static void blue_green(void **context)
{
	const struct slots slots = rollout_bed_first(3);
	const struct rollout_step step = {.n_slots = 3, .at_once = true};
	struct rollout rollout;
	unsigned int slot;

	rollout_begin(&rollout, &slots, 2, false);
	rollout_set_steps(&rollout, &step, 1);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_START);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_START);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_WAIT);
	rollout_record(&rollout, 0, ROLLOUT_READY);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_START);
	rollout_record(&rollout, 2, ROLLOUT_READY);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_WAIT);
	rollout_record(&rollout, 1, ROLLOUT_READY);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_FLIP);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), 0);
	rollout_note_flip(&rollout, 1);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), 3);
	assert_int_equal(rollout_bed_next(&rollout, ROLLOUT_ANY, &slot), ROLLOUT_COMMIT);
}

static void canary(void **context)
{
	struct rollout rollout;

	begin_canary(&rollout, true);
	put_in_force(&rollout, 10);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), 1);
	assert_int_equal(rollout_next_time(&rollout), 10 + TIME + DEADLINE);
	assert_int_equal(at(&rollout, 10 + TIME), ROLLOUT_WAIT); /* not judged yet */
	rollout_judge(&rollout, ROLLOUT_GOOD);
	assert_int_equal(rollout_next_time(&rollout), 10 + TIME);
	assert_int_equal(at(&rollout, 9 + TIME), ROLLOUT_WAIT);
	put_in_force(&rollout, 10 + TIME);
	assert_int_equal(rollout.step, 1);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), 2);
	assert_int_equal(at(&rollout, 10 + 2 * TIME), ROLLOUT_WAIT);
	assert_int_equal(rollout.halt, ROLLOUT_HALT_STEP);
	rollout_promote(&rollout, false);
	put_in_force(&rollout, 20 + 2 * TIME);
	assert_int_equal(at(&rollout, 20 + 2 * TIME), ROLLOUT_COMMIT);
}

/* To the end at once: until the last step has its share, the first one has. */
static void full_promotion(void **context)
{
	struct rollout rollout;

	begin_canary(&rollout, true);
	assert_int_equal(rollout.n_in_force, 0);
	put_in_force(&rollout, 10);
	assert_int_equal(rollout.n_in_force, 1);
	rollout_promote(&rollout, true);
	assert_int_equal(at(&rollout, 20), ROLLOUT_START);
	assert_int_equal(rollout.step, 2);
	assert_int_equal(rollout.n_in_force, 1);
	put_in_force(&rollout, 20);
	assert_int_equal(rollout.n_in_force, 3);
}

/* What was found of a step does not count for the next one, whose workers start meanwhile. */
static void judgement_of_step_before(void **context)
{
	const int64_t begin = 10 + TIME;
	struct rollout rollout;

	begin_canary(&rollout, false);
	rollout.steps[1].judged = true;
	put_in_force(&rollout, 10);
	rollout_judge(&rollout, ROLLOUT_GOOD);
	while (at(&rollout, begin) == ROLLOUT_START)
		;
	assert_int_equal(rollout.step, 1);
	rollout_judge(&rollout, ROLLOUT_GOOD);
	put_in_force(&rollout, begin);
	assert_int_equal(at(&rollout, begin + TIME), ROLLOUT_WAIT);
	assert_int_equal(rollout.step, 1);
	rollout_judge(&rollout, ROLLOUT_GOOD);
	assert_int_equal(at(&rollout, begin + TIME), ROLLOUT_START);
}

/* Each event in each state: what comes next, and why the rollout halts. */
enum event { PROMOTE, FULL, PAUSE, ABORT, GOOD, NO_TRAFFIC, BAD, FAIL, LATER, LATEST, N_EVENTS };
enum state { STARTING, IN_FORCE, ASKED, AT_STEP, INCONCLUSIVE, N_STATES };

static void put_into(struct rollout *rollout, enum state state)
{
	begin_canary(rollout, true);
	if (state == STARTING) {
		assert_int_equal(at(rollout, 0), ROLLOUT_START);
		return;
	}
	put_in_force(rollout, 0);
	if (state == ASKED)
		rollout_pause(rollout, 0);
	if (state == AT_STEP) {
		rollout_judge(rollout, ROLLOUT_GOOD);
		put_in_force(rollout, TIME);
		assert_int_equal(at(rollout, TIME), ROLLOUT_WAIT);
		rollout->halted_at = 0;
	}
	if (state == INCONCLUSIVE) {
		assert_int_equal(at(rollout, TIME + DEADLINE), ROLLOUT_WAIT);
		rollout->halted_at = 0;
	}
}

/* Returns when it happens. */
static int64_t apply(struct rollout *rollout, enum event event)
{
	static const enum rollout_judgement judgements[N_EVENTS] = {
	        [GOOD] = ROLLOUT_GOOD, [NO_TRAFFIC] = ROLLOUT_NO_TRAFFIC, [BAD] = ROLLOUT_BAD};

	if (event == PROMOTE || event == FULL)
		rollout_promote(rollout, event == FULL);
	else if (event == PAUSE)
		rollout_pause(rollout, 1);
	else if (event == ABORT)
		rollout_abort(rollout);
	else if (judgements[event])
		rollout_judge(rollout, judgements[event]);
	else if (event == FAIL)
		rollout_record(rollout, 0, ROLLOUT_FAILED);
	return event == LATER ? TIME + DEADLINE : event == LATEST ? TIMEOUT + 1 : 1;
}

static void every_pair(void **context)
{
#define W ROLLOUT_WAIT
#define S ROLLOUT_START
#define R ROLLOUT_ROLLBACK
	static const enum rollout_verdict want[N_STATES][N_EVENTS] = {
	        /* PROMOTE FULL PAUSE ABORT GOOD NO_TRAFFIC BAD FAIL LATER LATEST */
	        [STARTING] = {W, S, W, R, W, W, R, R, W, W},
	        [IN_FORCE] = {S, S, W, R, W, W, R, R, W, W},
	        [ASKED] = {S, S, W, R, W, W, R, R, W, R},
	        [AT_STEP] = {S, S, W, R, W, W, R, R, W, R},
	        [INCONCLUSIVE] = {S, S, W, R, W, W, R, R, W, R},
	};

	for (enum state state = 0; state < N_STATES; state++)
		for (enum event event = 0; event < N_EVENTS; event++) {
			struct rollout rollout;
			enum rollout_verdict verdict;

			put_into(&rollout, state);
			verdict = at(&rollout, apply(&rollout, event));
			if (verdict != want[state][event])
				print_message("state %d, event %d\n", state, event);
			assert_int_equal(verdict, want[state][event]);
			if (event == FULL)
				assert_int_equal(rollout.step, rollout.n_steps - 1);
			if (event == PROMOTE || event == FULL)
				assert_int_equal(rollout.halt, ROLLOUT_GOES_ON);
			if (event == PAUSE && state < ASKED)
				assert_int_equal(rollout.halt, ROLLOUT_HALT_ASKED);
			if (event == LATER && state == IN_FORCE)
				assert_int_equal(rollout.halt, ROLLOUT_HALT_INCONCLUSIVE);
		}
#undef W
#undef S
#undef R
}

static void no_traffic_pauses(void **context)
{
	struct rollout rollout;

	begin_canary(&rollout, false);
	put_in_force(&rollout, 0);
	rollout_judge(&rollout, ROLLOUT_NO_TRAFFIC);
	assert_int_equal(at(&rollout, TIME + DEADLINE - 1), ROLLOUT_WAIT);
	assert_int_equal(rollout.halt, ROLLOUT_GOES_ON);
	assert_int_equal(at(&rollout, TIME + DEADLINE), ROLLOUT_WAIT);
	assert_int_equal(rollout.halt, ROLLOUT_HALT_NO_TRAFFIC);
	assert_int_equal(rollout_next_time(&rollout), TIME + DEADLINE + TIMEOUT);
	assert_int_equal(at(&rollout, TIME + DEADLINE + TIMEOUT), ROLLOUT_ROLLBACK);
}

/* Without a worker of the old version it is not rolled back, but waits for one, or for a person. */
static void no_old_worker(void **context)
{
	struct rollout_world world = {.spare = ROLLOUT_ANY};
	struct rollout rollout;
	unsigned int slot;

	begin_canary(&rollout, false);
	put_in_force(&rollout, 0);
	rollout_record(&rollout, 0, ROLLOUT_FAILED);
	assert_int_equal(rollout_next(&rollout, &world, &slot), ROLLOUT_WAIT);
	assert_int_equal(rollout.halt, ROLLOUT_HALT_NO_OLD);
	world.old_lives = true;
	assert_int_equal(rollout_next(&rollout, &world, &slot), ROLLOUT_ROLLBACK);
	world.old_lives = false;
	rollout_promote(&rollout, false);
	assert_int_equal(rollout_next(&rollout, &world, &slot), ROLLOUT_START);
	assert_int_equal(slot, 0);
}

/* A pause while workers start: the share stays until it ends. */
static void pause_before_flip(void **context)
{
	struct rollout rollout;

	begin_canary(&rollout, false);
	assert_int_equal(at(&rollout, 0), ROLLOUT_START);
	rollout_pause(&rollout, 0);
	rollout_record(&rollout, 0, ROLLOUT_READY);
	assert_int_equal(at(&rollout, 1), ROLLOUT_WAIT);
	rollout_promote(&rollout, false);
	assert_int_equal(at(&rollout, 1), ROLLOUT_FLIP);
}

/* Does what comes next, up to a gate, and returns how many gates are open there. */
static size_t go_to_gate(struct rollout *rollout, int64_t now)
{
	enum rollout_verdict verdict = ROLLOUT_START;

	while (verdict != ROLLOUT_WAIT && verdict != ROLLOUT_COMMIT) {
		verdict = at(rollout, now);
		if (verdict == ROLLOUT_FLIP)
			rollout_note_flip(rollout, now);
		for (unsigned int slot = 0; slot < rollout->slots.n; slot++)
			if (rollout->phase[slot] == ROLLOUT_STARTED)
				rollout_record(rollout, slot,
				               rollout->steps[0].at_once ? ROLLOUT_READY
				                                         : ROLLOUT_REPLACED);
	}
	assert_int_equal(rollout->at_gate, verdict == ROLLOUT_WAIT);
	return rollout->n_open;
}

/* Before the start, each step, and the promotion; a step is judged while the gate behind it is
 * shut. */
static void gates(void **context)
{
	struct rollout rollout;

	begin_canary(&rollout, false);
	rollout.gated = true;
	assert_int_equal(go_to_gate(&rollout, 1), 0);
	assert_int_equal(rollout_next_time(&rollout), 1 + DEADLINE);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_PENDING), 4);
	rollout_open_gate(&rollout);
	assert_int_equal(go_to_gate(&rollout, 2), 1);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_READY), 1);
	rollout_open_gate(&rollout);
	assert_int_equal(at(&rollout, 3), ROLLOUT_FLIP);
	rollout_note_flip(&rollout, 3);
	assert_int_equal(at(&rollout, 3 + TIME), ROLLOUT_WAIT);
	assert_false(rollout.at_gate); /* it is not judged yet */
	rollout_judge(&rollout, ROLLOUT_GOOD);
	assert_int_equal(go_to_gate(&rollout, 3 + TIME), 2);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), 1);
	rollout_judge(&rollout, ROLLOUT_UNKNOWN);
	assert_int_equal(at(&rollout, 3 + TIME), ROLLOUT_WAIT);
	assert_false(rollout.at_gate);
	rollout_judge(&rollout, ROLLOUT_GOOD);
	assert_int_equal(go_to_gate(&rollout, 3 + TIME), 2);
	rollout_open_gate(&rollout);
	assert_int_equal(at(&rollout, 4 + TIME), ROLLOUT_START);
	rollout_record(&rollout, 1, ROLLOUT_READY);
	assert_int_equal(at(&rollout, 4 + TIME), ROLLOUT_FLIP); /* the step's gate is open */
	rollout_note_flip(&rollout, 4 + TIME);
	assert_int_equal(go_to_gate(&rollout, 4 + 2 * TIME), 3);
	rollout_open_gate(&rollout);
	assert_int_equal(go_to_gate(&rollout, 5 + 2 * TIME), 4);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), 4);
}

/* Of blue-green: before the start, and before the flip. Of a rolling one: before it is committed
 * to. */
static void gates_of_one_step(void **context)
{
	for (int at_once = 0; at_once < 2; at_once++) {
		const struct slots slots = rollout_bed_first(3);
		const struct rollout_step step = {.n_slots = 3, .at_once = at_once};
		struct rollout rollout;

		rollout_begin(&rollout, &slots, 2, false);
		rollout_set_steps(&rollout, &step, 1);
		rollout.gated = true;
		assert_int_equal(go_to_gate(&rollout, 1), 0);
		assert_int_equal(rollout_next_time(&rollout), 0);
		rollout_open_gate(&rollout);
		assert_int_equal(go_to_gate(&rollout, 1), 1);
		assert_int_equal(
		        rollout_count(&rollout, at_once ? ROLLOUT_READY : ROLLOUT_REPLACED), 3);
		rollout_open_gate(&rollout);
		assert_int_equal(go_to_gate(&rollout, 1), 2);
		assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), 3);
	}
}

/* A gate that does not open halts the rollout; a person opens it. */
static void gate_stays_shut(void **context)
{
	struct rollout rollout;

	begin_canary(&rollout, false);
	rollout.gated = true;
	go_to_gate(&rollout, 1);
	assert_int_equal(at(&rollout, DEADLINE), ROLLOUT_WAIT);
	assert_int_equal(rollout.halt, ROLLOUT_GOES_ON);
	assert_int_equal(at(&rollout, 1 + DEADLINE), ROLLOUT_WAIT);
	assert_int_equal(rollout.halt, ROLLOUT_HALT_GATE);
	rollout_promote(&rollout, false);
	assert_int_equal(rollout.halt, ROLLOUT_GOES_ON);
	assert_int_equal(go_to_gate(&rollout, 2 + DEADLINE), 1);
	rollout_promote(&rollout, false); /* before the deadline, too */
	assert_int_equal(at(&rollout, 2 + DEADLINE), ROLLOUT_FLIP);
	rollout_note_flip(&rollout, 2 + DEADLINE);
	rollout_judge(&rollout, ROLLOUT_GOOD);
	assert_int_equal(go_to_gate(&rollout, 2 + TIME + DEADLINE), 2);
	assert_int_equal(at(&rollout, 2 + TIME + 2 * DEADLINE), ROLLOUT_WAIT);
	assert_int_equal(rollout.halt, ROLLOUT_HALT_GATE);
	assert_int_equal(at(&rollout, 2 + TIME + 2 * DEADLINE + TIMEOUT), ROLLOUT_ROLLBACK);
	begin_canary(&rollout, false);
	rollout.gated = true;
	go_to_gate(&rollout, 1);
	rollout_promote(&rollout, true); /* all gates */
	assert_int_equal(go_to_gate(&rollout, 2), 1);
	assert_int_equal(rollout_count(&rollout, ROLLOUT_REPLACED), 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(blue_green),      cmocka_unit_test(canary),
	        cmocka_unit_test(full_promotion),  cmocka_unit_test(judgement_of_step_before),
	        cmocka_unit_test(every_pair),      cmocka_unit_test(no_traffic_pauses),
	        cmocka_unit_test(no_old_worker),   cmocka_unit_test(pause_before_flip),
	        cmocka_unit_test(gates),           cmocka_unit_test(gates_of_one_step),
	        cmocka_unit_test(gate_stays_shut),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
