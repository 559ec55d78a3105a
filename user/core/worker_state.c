/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/worker_state.h"

#include <stdbool.h>

#define STOP (WORKER_TELL_STOP | WORKER_ARM_KILL)

struct entry {
	bool is_set; /* the event changes something in this state */
	struct worker_state_step step;
};

#define GOES(state, actions)                                                                       \
	{                                                                                          \
		true,                                                                              \
		{                                                                                  \
			state, actions                                                             \
		}                                                                                  \
	}

/* What ends a worker that has not got its slot yet. */
#define ENDS_BEFORE_ITS_SLOT                                                                       \
	[WORKER_EVENT_FAILED] = GOES(WORKER_STOPPING, STOP | WORKER_FAILED),                       \
	[WORKER_EVENT_EXITED] = GOES(WORKER_KILLING, WORKER_KILL_TREE | WORKER_FAILED),            \
	[WORKER_EVENT_EMPTY] = GOES(WORKER_GONE, WORKER_FAILED | WORKER_RELEASE),                  \
	[WORKER_EVENT_RETIRE] = GOES(WORKER_STOPPING, STOP),                                       \
	[WORKER_EVENT_STOP] = GOES(WORKER_STOPPING, STOP)

/* A worker that was asked to stop may leave children that are stopping too: they have time until
 * WORKER_EVENT_KILL. If a worker exits unasked, its children are killed at once. */
static const struct entry table[WORKER_STATE_MAX][WORKER_EVENT_MAX] = {
        [WORKER_STARTING] =
                {
                        [WORKER_EVENT_READY] = GOES(WORKER_SETTLING, WORKER_ARM_SETTLE),
                        ENDS_BEFORE_ITS_SLOT,
                },
        [WORKER_SETTLING] =
                {
                        [WORKER_EVENT_SETTLED] = GOES(WORKER_UP, WORKER_ADMIT),
                        [WORKER_EVENT_STANDBY] = GOES(WORKER_STANDBY, 0),
                        [WORKER_EVENT_UNREADY] = GOES(WORKER_STARTING, WORKER_ARM_READY),
                        ENDS_BEFORE_ITS_SLOT,
                },
        [WORKER_STANDBY] =
                {
                        [WORKER_EVENT_TAKES] = GOES(WORKER_UP, 0),
                        ENDS_BEFORE_ITS_SLOT,
                },
        [WORKER_UP] =
                {
                        [WORKER_EVENT_LATER] = GOES(WORKER_SETTLING, 0),
                        [WORKER_EVENT_FAILED] = GOES(WORKER_STOPPING, STOP | WORKER_FAILED),
                        [WORKER_EVENT_EXITED] =
                                GOES(WORKER_KILLING, WORKER_KILL_TREE | WORKER_DIED),
                        [WORKER_EVENT_EMPTY] = GOES(WORKER_GONE, WORKER_DIED | WORKER_RELEASE),
                        [WORKER_EVENT_HOLD] = GOES(WORKER_HELD, 0),
                        [WORKER_EVENT_RETIRE] =
                                GOES(WORKER_DRAINING, WORKER_TELL_DRAIN | WORKER_ARM_DRAIN),
                        [WORKER_EVENT_STOP] = GOES(WORKER_STOPPING, STOP),
                },
        [WORKER_HELD] =
                {
                        [WORKER_EVENT_RECALL] = GOES(WORKER_UP, WORKER_ADMIT),
                        [WORKER_EVENT_TAKES] = GOES(WORKER_UP, 0),
                        [WORKER_EVENT_EXITED] = GOES(WORKER_KILLING, WORKER_KILL_TREE),
                        [WORKER_EVENT_EMPTY] = GOES(WORKER_GONE, WORKER_RELEASE),
                        [WORKER_EVENT_RETIRE] =
                                GOES(WORKER_DRAINING, WORKER_TELL_DRAIN | WORKER_ARM_DRAIN),
                        [WORKER_EVENT_STOP] = GOES(WORKER_STOPPING, STOP),
                },
        [WORKER_DRAINING] =
                {
                        [WORKER_EVENT_DRAINED] = GOES(WORKER_STOPPING, STOP),
                        [WORKER_EVENT_EXITED] = GOES(WORKER_KILLING, WORKER_KILL_TREE),
                        [WORKER_EVENT_EMPTY] = GOES(WORKER_GONE, WORKER_RELEASE),
                        [WORKER_EVENT_STOP] = GOES(WORKER_STOPPING, STOP),
                },
        [WORKER_STOPPING] =
                {
                        [WORKER_EVENT_KILL] = GOES(WORKER_KILLING, WORKER_KILL_TREE),
                        [WORKER_EVENT_EMPTY] = GOES(WORKER_GONE, WORKER_RELEASE),
                },
        [WORKER_KILLING] =
                {
                        [WORKER_EVENT_EMPTY] = GOES(WORKER_GONE, WORKER_RELEASE),
                },
};

struct worker_state_step worker_state_next(enum worker_state state, enum worker_event event)
{
	const struct entry *entry = &table[state][event];

	return entry->is_set ? entry->step : (struct worker_state_step){.next = state};
}
