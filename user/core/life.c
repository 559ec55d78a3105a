/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/life.h"

#include <stdbool.h>

#define STOP (LIFE_TELL_STOP | LIFE_ARM_KILL)

struct entry {
	bool means; /* the event means something in this state */
	struct life_step step;
};

#define GOES(state, actions)                                                                       \
	{                                                                                          \
		true,                                                                              \
		{                                                                                  \
			state, actions                                                             \
		}                                                                                  \
	}

/* One that stops may leave children that are at their end as well: they have the time that is left
 * until LIFE_EVENT_KILL. What an exit leaves that nobody asked for is killed at once. */
static const struct entry table[LIFE_STATE_MAX][LIFE_EVENT_MAX] = {
        [LIFE_STARTING] =
                {
                        [LIFE_EVENT_READY] = GOES(LIFE_SETTLING, LIFE_ARM_SETTLE),
                        [LIFE_EVENT_LATE] = GOES(LIFE_STOPPING, STOP | LIFE_FAILED),
                        [LIFE_EVENT_EXITED] = GOES(LIFE_KILLING, LIFE_KILL_TREE | LIFE_FAILED),
                        [LIFE_EVENT_EMPTY] = GOES(LIFE_GONE, LIFE_FAILED | LIFE_RELEASE),
                        [LIFE_EVENT_RETIRE] = GOES(LIFE_STOPPING, STOP),
                        [LIFE_EVENT_STOP] = GOES(LIFE_STOPPING, STOP),
                },
        [LIFE_SETTLING] =
                {
                        [LIFE_EVENT_SETTLED] = GOES(LIFE_UP, LIFE_ADMIT),
                        [LIFE_EVENT_LATE] = GOES(LIFE_STOPPING, STOP | LIFE_FAILED),
                        [LIFE_EVENT_EXITED] = GOES(LIFE_KILLING, LIFE_KILL_TREE | LIFE_FAILED),
                        [LIFE_EVENT_EMPTY] = GOES(LIFE_GONE, LIFE_FAILED | LIFE_RELEASE),
                        [LIFE_EVENT_RETIRE] = GOES(LIFE_STOPPING, STOP),
                        [LIFE_EVENT_STOP] = GOES(LIFE_STOPPING, STOP),
                },
        [LIFE_UP] =
                {
                        [LIFE_EVENT_LATE] = GOES(LIFE_STOPPING, STOP | LIFE_FAILED),
                        [LIFE_EVENT_EXITED] = GOES(LIFE_KILLING, LIFE_KILL_TREE | LIFE_DIED),
                        [LIFE_EVENT_EMPTY] = GOES(LIFE_GONE, LIFE_DIED | LIFE_RELEASE),
                        [LIFE_EVENT_HOLD] = GOES(LIFE_HELD, 0),
                        [LIFE_EVENT_RETIRE] = GOES(LIFE_DRAINING, LIFE_TELL_DRAIN | LIFE_ARM_DRAIN),
                        [LIFE_EVENT_STOP] = GOES(LIFE_STOPPING, STOP),
                },
        [LIFE_HELD] =
                {
                        [LIFE_EVENT_RECALL] = GOES(LIFE_UP, LIFE_ADMIT),
                        [LIFE_EVENT_EXITED] = GOES(LIFE_KILLING, LIFE_KILL_TREE),
                        [LIFE_EVENT_EMPTY] = GOES(LIFE_GONE, LIFE_RELEASE),
                        [LIFE_EVENT_RETIRE] = GOES(LIFE_DRAINING, LIFE_TELL_DRAIN | LIFE_ARM_DRAIN),
                        [LIFE_EVENT_STOP] = GOES(LIFE_STOPPING, STOP),
                },
        [LIFE_DRAINING] =
                {
                        [LIFE_EVENT_DRAINED] = GOES(LIFE_STOPPING, STOP),
                        [LIFE_EVENT_EXITED] = GOES(LIFE_KILLING, LIFE_KILL_TREE),
                        [LIFE_EVENT_EMPTY] = GOES(LIFE_GONE, LIFE_RELEASE),
                        [LIFE_EVENT_STOP] = GOES(LIFE_STOPPING, STOP),
                },
        [LIFE_STOPPING] =
                {
                        [LIFE_EVENT_KILL] = GOES(LIFE_KILLING, LIFE_KILL_TREE),
                        [LIFE_EVENT_EMPTY] = GOES(LIFE_GONE, LIFE_RELEASE),
                },
        [LIFE_KILLING] =
                {
                        [LIFE_EVENT_EMPTY] = GOES(LIFE_GONE, LIFE_RELEASE),
                },
};

struct life_step life_step(enum life_state state, enum life_event event)
{
	const struct entry *entry = &table[state][event];

	return entry->means ? entry->step : (struct life_step){.next = state};
}

const char *life_name(enum life_state state)
{
	static const char *const names[] = {
	        [LIFE_STARTING] = "starting",
	        [LIFE_SETTLING] = "settling",
	        [LIFE_UP] = "up",
	        [LIFE_HELD] = "held",
	        [LIFE_DRAINING] = "draining",
	        [LIFE_STOPPING] = "stopping",
	        [LIFE_KILLING] = "killing",
	        [LIFE_GONE] = "gone",
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == LIFE_STATE_MAX, "a name for each");
	return names[state];
}
