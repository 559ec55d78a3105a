/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/worker_state.h"

#define STOP (WORKER_TELL_STOP | WORKER_ARM_KILL)

/* What each event does in each state, in another form than in the table: a line for each pair that
 * does something. All other pairs leave the state unchanged. */
static const struct {
	enum worker_state state;
	enum worker_event event;
	enum worker_state next;
	unsigned int actions;
} meanings[] = {
        {WORKER_STARTING, WORKER_EVENT_READY, WORKER_SETTLING, WORKER_ARM_SETTLE},
        {WORKER_STARTING, WORKER_EVENT_FAILED, WORKER_STOPPING, STOP | WORKER_FAILED},
        {WORKER_STARTING, WORKER_EVENT_EXITED, WORKER_KILLING, WORKER_KILL_TREE | WORKER_FAILED},
        {WORKER_STARTING, WORKER_EVENT_EMPTY, WORKER_GONE, WORKER_FAILED | WORKER_RELEASE},
        {WORKER_STARTING, WORKER_EVENT_RETIRE, WORKER_STOPPING, STOP},
        {WORKER_STARTING, WORKER_EVENT_STOP, WORKER_STOPPING, STOP},
        {WORKER_SETTLING, WORKER_EVENT_SETTLED, WORKER_UP, WORKER_ADMIT},
        {WORKER_SETTLING, WORKER_EVENT_STANDBY, WORKER_STANDBY, 0},
        {WORKER_STANDBY, WORKER_EVENT_TAKES, WORKER_UP, 0},
        {WORKER_STANDBY, WORKER_EVENT_FAILED, WORKER_STOPPING, STOP | WORKER_FAILED},
        {WORKER_STANDBY, WORKER_EVENT_EXITED, WORKER_KILLING, WORKER_KILL_TREE | WORKER_FAILED},
        {WORKER_STANDBY, WORKER_EVENT_EMPTY, WORKER_GONE, WORKER_FAILED | WORKER_RELEASE},
        {WORKER_STANDBY, WORKER_EVENT_RETIRE, WORKER_STOPPING, STOP},
        {WORKER_STANDBY, WORKER_EVENT_STOP, WORKER_STOPPING, STOP},
        {WORKER_HELD, WORKER_EVENT_TAKES, WORKER_UP, 0},
        {WORKER_SETTLING, WORKER_EVENT_UNREADY, WORKER_STARTING, WORKER_ARM_READY},
        {WORKER_SETTLING, WORKER_EVENT_FAILED, WORKER_STOPPING, STOP | WORKER_FAILED},
        {WORKER_SETTLING, WORKER_EVENT_EXITED, WORKER_KILLING, WORKER_KILL_TREE | WORKER_FAILED},
        {WORKER_SETTLING, WORKER_EVENT_EMPTY, WORKER_GONE, WORKER_FAILED | WORKER_RELEASE},
        {WORKER_SETTLING, WORKER_EVENT_RETIRE, WORKER_STOPPING, STOP},
        {WORKER_SETTLING, WORKER_EVENT_STOP, WORKER_STOPPING, STOP},
        {WORKER_UP, WORKER_EVENT_LATER, WORKER_SETTLING, 0},
        {WORKER_UP, WORKER_EVENT_FAILED, WORKER_STOPPING, STOP | WORKER_FAILED},
        {WORKER_UP, WORKER_EVENT_EXITED, WORKER_KILLING, WORKER_KILL_TREE | WORKER_DIED},
        {WORKER_UP, WORKER_EVENT_EMPTY, WORKER_GONE, WORKER_DIED | WORKER_RELEASE},
        {WORKER_UP, WORKER_EVENT_HOLD, WORKER_HELD, 0},
        {WORKER_UP, WORKER_EVENT_RETIRE, WORKER_DRAINING, WORKER_TELL_DRAIN | WORKER_ARM_DRAIN},
        {WORKER_UP, WORKER_EVENT_STOP, WORKER_STOPPING, STOP},
        {WORKER_HELD, WORKER_EVENT_RECALL, WORKER_UP, WORKER_ADMIT},
        {WORKER_HELD, WORKER_EVENT_EXITED, WORKER_KILLING, WORKER_KILL_TREE},
        {WORKER_HELD, WORKER_EVENT_EMPTY, WORKER_GONE, WORKER_RELEASE},
        {WORKER_HELD, WORKER_EVENT_RETIRE, WORKER_DRAINING, WORKER_TELL_DRAIN | WORKER_ARM_DRAIN},
        {WORKER_HELD, WORKER_EVENT_STOP, WORKER_STOPPING, STOP},
        {WORKER_DRAINING, WORKER_EVENT_DRAINED, WORKER_STOPPING, STOP},
        {WORKER_DRAINING, WORKER_EVENT_EXITED, WORKER_KILLING, WORKER_KILL_TREE},
        {WORKER_DRAINING, WORKER_EVENT_EMPTY, WORKER_GONE, WORKER_RELEASE},
        {WORKER_DRAINING, WORKER_EVENT_STOP, WORKER_STOPPING, STOP},
        {WORKER_STOPPING, WORKER_EVENT_KILL, WORKER_KILLING, WORKER_KILL_TREE},
        {WORKER_STOPPING, WORKER_EVENT_EMPTY, WORKER_GONE, WORKER_RELEASE},
        {WORKER_KILLING, WORKER_EVENT_EMPTY, WORKER_GONE, WORKER_RELEASE},
};

static void every_pair(void **context)
{
	for (int state = 0; state < WORKER_STATE_MAX; state++)
		for (int event = 0; event < WORKER_EVENT_MAX; event++) {
			struct worker_state_step want = {.next = state};
			struct worker_state_step step = worker_state_next(state, event);

			for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
				if ((int)meanings[i].state == state &&
				    (int)meanings[i].event == event)
					want = (struct worker_state_step){meanings[i].next,
					                                  meanings[i].actions};
			assert_int_equal(step.next, want.next);
			assert_int_equal(step.actions, want.actions);
		}
}

/* For any order of events: a worker is admitted only after it was ready, is reported as lost at
 * most once, and ends for good. */
static void random_lives(void **context)
{
	seed_start("lives");
	for (int life = 0; life < 20000; life++) {
		enum worker_state state = WORKER_STARTING;
		unsigned int lost = 0, released = 0;

		for (int i = 0; i < 100 && state != WORKER_GONE; i++) {
			enum worker_event event = seed_next(WORKER_EVENT_MAX);
			struct worker_state_step step = worker_state_next(state, event);

			if (step.actions & WORKER_ADMIT)
				assert_true(state == WORKER_SETTLING || state == WORKER_HELD);
			lost += !!(step.actions & (WORKER_FAILED | WORKER_DIED));
			released += !!(step.actions & WORKER_RELEASE);
			if (state >= WORKER_STOPPING)
				assert_true(step.next >= state);
			assert_int_equal(step.next == WORKER_GONE,
			                 !!(step.actions & WORKER_RELEASE));
			state = step.next;
		}
		assert_true(lost <= 1);
		assert_int_equal(released, state == WORKER_GONE);
		assert_int_equal(worker_state_next(state, WORKER_EVENT_EMPTY).next, WORKER_GONE);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_pair),
	        cmocka_unit_test(random_lives),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
