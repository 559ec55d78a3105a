/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of one worker process tree that we run, from its start to when nothing of it is left: a
 * table of what each event means in each state. Pure; the supervisor tells the events, and does
 * what the table answers.
 */
#pragma once

enum life_state {
	LIFE_STARTING, /* it runs, and is not ready */
	LIFE_SETTLING, /* ready; has to live a while before it takes connections */
	LIFE_UP,       /* in its slot */
	LIFE_HELD,     /* another has its slot, but it may yet be called back */
	LIFE_DRAINING, /* out of its slot for good; its connections go on */
	LIFE_STOPPING, /* has been told to stop */
	LIFE_KILLING,  /* SIGKILL was sent to all its processes */
	LIFE_GONE,
	LIFE_STATE_MAX,
};

enum life_event {
	LIFE_EVENT_READY,
	LIFE_EVENT_SETTLED,
	LIFE_EVENT_LATE,    /* not ready in time, or what it needs can't be had */
	LIFE_EVENT_EXITED,  /* its main process has ended */
	LIFE_EVENT_EMPTY,   /* all its processes have ended */
	LIFE_EVENT_HOLD,    /* another takes its slot, for now */
	LIFE_EVENT_RECALL,  /* and it gets its slot back */
	LIFE_EVENT_RETIRE,  /* it is to end when its connections have */
	LIFE_EVENT_STOP,    /* it is to end now */
	LIFE_EVENT_DRAINED, /* it has no connection any more, or the time for that is over */
	LIFE_EVENT_KILL,    /* it has not stopped in time */
	LIFE_EVENT_MAX,
};

/* What is to be done, in this order. */
enum life_action {
	LIFE_ARM_SETTLE = 1 << 0,
	LIFE_ADMIT = 1 << 1,      /* it comes into its slot */
	LIFE_TELL_DRAIN = 1 << 2, /* the drain signal or message */
	LIFE_ARM_DRAIN = 1 << 3,
	LIFE_TELL_STOP = 1 << 4, /* the stop signal or message */
	LIFE_ARM_KILL = 1 << 5,
	LIFE_KILL_TREE = 1 << 6,
	LIFE_FAILED = 1 << 7, /* it came to nothing: tell whoever waits for it */
	LIFE_DIED = 1 << 8,   /* it has left its slot, and nobody asked it to */
	LIFE_RELEASE = 1 << 9,
};

struct life_step {
	enum life_state next;
	unsigned int actions; /* enum life_action */
};

/* What @event means for a worker in @state. What means nothing there leaves it where it is. */
struct life_step life_step(enum life_state state, enum life_event event);

/* "starting", "settling", ... */
const char *life_name(enum life_state state);
