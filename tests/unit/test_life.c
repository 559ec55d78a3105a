/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "seed.h"

#define STOP (LIFE_TELL_STOP | LIFE_ARM_KILL)

/* What each event means in each state, said once more and in another way than in the table: a line
 * for all that does something; all other pairs leave the state as it is and do nothing. */
static const struct {
	enum life_state state;
	enum life_event event;
	enum life_state next;
	unsigned int actions;
} meanings[] = {
        {LIFE_STARTING, LIFE_EVENT_READY, LIFE_SETTLING, LIFE_ARM_SETTLE},
        {LIFE_STARTING, LIFE_EVENT_LATE, LIFE_STOPPING, STOP | LIFE_FAILED},
        {LIFE_STARTING, LIFE_EVENT_EXITED, LIFE_KILLING, LIFE_KILL_TREE | LIFE_FAILED},
        {LIFE_STARTING, LIFE_EVENT_EMPTY, LIFE_GONE, LIFE_FAILED | LIFE_RELEASE},
        {LIFE_STARTING, LIFE_EVENT_RETIRE, LIFE_STOPPING, STOP},
        {LIFE_STARTING, LIFE_EVENT_STOP, LIFE_STOPPING, STOP},
        {LIFE_SETTLING, LIFE_EVENT_SETTLED, LIFE_UP, LIFE_ADMIT},
        {LIFE_SETTLING, LIFE_EVENT_LATE, LIFE_STOPPING, STOP | LIFE_FAILED},
        {LIFE_SETTLING, LIFE_EVENT_EXITED, LIFE_KILLING, LIFE_KILL_TREE | LIFE_FAILED},
        {LIFE_SETTLING, LIFE_EVENT_EMPTY, LIFE_GONE, LIFE_FAILED | LIFE_RELEASE},
        {LIFE_SETTLING, LIFE_EVENT_RETIRE, LIFE_STOPPING, STOP},
        {LIFE_SETTLING, LIFE_EVENT_STOP, LIFE_STOPPING, STOP},
        {LIFE_UP, LIFE_EVENT_LATE, LIFE_STOPPING, STOP | LIFE_FAILED},
        {LIFE_UP, LIFE_EVENT_EXITED, LIFE_KILLING, LIFE_KILL_TREE | LIFE_DIED},
        {LIFE_UP, LIFE_EVENT_EMPTY, LIFE_GONE, LIFE_DIED | LIFE_RELEASE},
        {LIFE_UP, LIFE_EVENT_HOLD, LIFE_HELD, 0},
        {LIFE_UP, LIFE_EVENT_RETIRE, LIFE_DRAINING, LIFE_TELL_DRAIN | LIFE_ARM_DRAIN},
        {LIFE_UP, LIFE_EVENT_STOP, LIFE_STOPPING, STOP},
        {LIFE_HELD, LIFE_EVENT_RECALL, LIFE_UP, LIFE_ADMIT},
        {LIFE_HELD, LIFE_EVENT_EXITED, LIFE_KILLING, LIFE_KILL_TREE},
        {LIFE_HELD, LIFE_EVENT_EMPTY, LIFE_GONE, LIFE_RELEASE},
        {LIFE_HELD, LIFE_EVENT_RETIRE, LIFE_DRAINING, LIFE_TELL_DRAIN | LIFE_ARM_DRAIN},
        {LIFE_HELD, LIFE_EVENT_STOP, LIFE_STOPPING, STOP},
        {LIFE_DRAINING, LIFE_EVENT_DRAINED, LIFE_STOPPING, STOP},
        {LIFE_DRAINING, LIFE_EVENT_EXITED, LIFE_KILLING, LIFE_KILL_TREE},
        {LIFE_DRAINING, LIFE_EVENT_EMPTY, LIFE_GONE, LIFE_RELEASE},
        {LIFE_DRAINING, LIFE_EVENT_STOP, LIFE_STOPPING, STOP},
        {LIFE_STOPPING, LIFE_EVENT_KILL, LIFE_KILLING, LIFE_KILL_TREE},
        {LIFE_STOPPING, LIFE_EVENT_EMPTY, LIFE_GONE, LIFE_RELEASE},
        {LIFE_KILLING, LIFE_EVENT_EMPTY, LIFE_GONE, LIFE_RELEASE},
};

static void every_pair(void **context)
{
	(void)context;
	for (int state = 0; state < LIFE_STATE_MAX; state++)
		for (int event = 0; event < LIFE_EVENT_MAX; event++) {
			struct life_step want = {.next = state};
			struct life_step step = life_step(state, event);

			for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
				if ((int)meanings[i].state == state &&
				    (int)meanings[i].event == event)
					want = (struct life_step){meanings[i].next,
					                          meanings[i].actions};
			assert_int_equal(step.next, want.next);
			assert_int_equal(step.actions, want.actions);
		}
}

/* However the events come, a worker is admitted only when it was ready, is told of as lost once at
 * most, and ends for good. */
static void any_life(void **context)
{
	(void)context;
	seed_start("lives");
	for (int life = 0; life < 20000; life++) {
		enum life_state state = LIFE_STARTING;
		unsigned int lost = 0, released = 0;

		for (int i = 0; i < 100 && state != LIFE_GONE; i++) {
			enum life_event event = seed_next(LIFE_EVENT_MAX);
			struct life_step step = life_step(state, event);

			if (step.actions & LIFE_ADMIT)
				assert_true(state == LIFE_SETTLING || state == LIFE_HELD);
			lost += !!(step.actions & (LIFE_FAILED | LIFE_DIED));
			released += !!(step.actions & LIFE_RELEASE);
			if (state >= LIFE_STOPPING)
				assert_true(step.next >= state);
			assert_int_equal(step.next == LIFE_GONE, !!(step.actions & LIFE_RELEASE));
			state = step.next;
		}
		assert_true(lost <= 1);
		assert_int_equal(released, state == LIFE_GONE);
		assert_int_equal(life_step(state, LIFE_EVENT_EMPTY).next, LIFE_GONE);
	}
}

static void names(void **context)
{
	(void)context;
	for (int state = 0; state < LIFE_STATE_MAX; state++)
		for (int other = 0; other < state; other++)
			assert_string_not_equal(life_name(state), life_name(other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_pair),
	        cmocka_unit_test(any_life),
	        cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
