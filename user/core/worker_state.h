/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of one worker process tree that we run, from its start to when nothing of it is left: a
 * table of what each event means in each state. Pure; the supervisor tells the events, and does
 * what the table answers.
 */
#pragma once

enum worker_state {
	WORKER_STARTING, /* it runs, and is not ready */
	WORKER_SETTLING, /* ready; has to live a while before it takes connections */
	WORKER_UP,       /* in its slot */
	WORKER_HELD,     /* another has its slot, but it may yet be called back */
	WORKER_DRAINING, /* out of its slot for good; its connections go on */
	WORKER_STOPPING, /* has been told to stop */
	WORKER_KILLING,  /* SIGKILL was sent to all its processes */
	WORKER_GONE,
	WORKER_STATE_MAX,
};

enum worker_event {
	WORKER_EVENT_READY,
	WORKER_EVENT_SETTLED,
	WORKER_EVENT_FAILED,  /* not ready in time, or what it needs can't be had */
	WORKER_EVENT_EXITED,  /* its main process has ended */
	WORKER_EVENT_EMPTY,   /* all its processes have ended */
	WORKER_EVENT_HOLD,    /* another takes its slot, for now */
	WORKER_EVENT_RECALL,  /* and it gets its slot back */
	WORKER_EVENT_RETIRE,  /* it is to end when its connections have */
	WORKER_EVENT_STOP,    /* it is to end now */
	WORKER_EVENT_DRAINED, /* it has no connection any more, or the time for that is over */
	WORKER_EVENT_KILL,    /* it has not stopped in time */
	WORKER_EVENT_MAX,
};

/* What is to be done, in this order. */
enum worker_action {
	WORKER_ARM_SETTLE = 1 << 0,
	WORKER_ADMIT = 1 << 1,      /* it comes into its slot */
	WORKER_TELL_DRAIN = 1 << 2, /* the drain signal or message */
	WORKER_ARM_DRAIN = 1 << 3,
	WORKER_TELL_STOP = 1 << 4, /* the stop signal or message */
	WORKER_ARM_KILL = 1 << 5,
	WORKER_KILL_TREE = 1 << 6,
	WORKER_FAILED = 1 << 7, /* it came to nothing: tell whoever waits for it */
	WORKER_DIED = 1 << 8,   /* it has left its slot, and nobody asked it to */
	WORKER_RELEASE = 1 << 9,
};

struct worker_state_step {
	enum worker_state next;
	unsigned int actions; /* enum worker_action */
};

/* What @event means for a worker in @state. What means nothing there leaves it where it is. */
struct worker_state_step worker_state_step(enum worker_state state, enum worker_event event);

/* "starting", "settling", ... */
const char *worker_state_name(enum worker_state state);
