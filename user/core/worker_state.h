/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The states of a worker of `run`, from its start until its last process has ended: a table with
 * the next state and the actions for each event in each state. Pure: the supervisor reports the
 * events and carries out the actions.
 */
#pragma once

enum worker_state {
	WORKER_STARTING, /* it runs, but is not ready yet */
	WORKER_SETTLING, /* ready; must live for a while before it gets its slot */
	WORKER_STANDBY,  /* has settled; others get their slots together with it */
	WORKER_UP,       /* in its slot */
	WORKER_HELD,     /* a new worker has its slot; a rollback would return it */
	WORKER_DRAINING, /* out of its slot for good; serves its open connections */
	WORKER_STOPPING, /* was sent the stop signal or message */
	WORKER_KILLING,  /* SIGKILL was sent to all its processes */
	WORKER_GONE,
	WORKER_STATE_MAX,
};

enum worker_event {
	WORKER_EVENT_READY,
	WORKER_EVENT_SETTLED,
	WORKER_EVENT_STANDBY, /* it has settled, and waits for others */
	WORKER_EVENT_TAKES,   /* it has got its slot, together with others */
	WORKER_EVENT_UNREADY, /* it no longer listens where it must */
	WORKER_EVENT_LATER,   /* it can't be put into its slot just now */
	WORKER_EVENT_FAILED,  /* not ready in time, unhealthy, or something it needs is missing */
	WORKER_EVENT_EXITED,  /* its main process has ended */
	WORKER_EVENT_EMPTY,   /* all its processes have ended */
	WORKER_EVENT_HOLD,    /* a new worker takes its slot, for now */
	WORKER_EVENT_RECALL,  /* it gets its slot back */
	WORKER_EVENT_RETIRE,  /* it is to end after its connections */
	WORKER_EVENT_STOP,    /* it is to end now */
	WORKER_EVENT_DRAINED, /* it has no open connection, or the drain timeout is over */
	WORKER_EVENT_KILL,    /* it has not stopped within the kill timeout */
	WORKER_EVENT_MAX,
};

/* The actions; the supervisor carries them out in this order. */
enum worker_action {
	WORKER_ARM_SETTLE = 1 << 0,
	WORKER_ARM_READY = 1 << 10, /* it has the rest of the ready timeout */
	WORKER_ADMIT = 1 << 1,      /* put it into its slot */
	WORKER_TELL_DRAIN = 1 << 2, /* send the drain signal or message */
	WORKER_ARM_DRAIN = 1 << 3,
	WORKER_TELL_STOP = 1 << 4, /* send the stop signal or message */
	WORKER_ARM_KILL = 1 << 5,
	WORKER_KILL_TREE = 1 << 6,
	WORKER_FAILED = 1 << 7, /* it never got its slot: report the failure */
	WORKER_DIED = 1 << 8,   /* it left its slot unasked */
	WORKER_RELEASE = 1 << 9,
};

struct worker_state_step {
	enum worker_state next;
	unsigned int actions; /* enum worker_action */
};

/* Returns what @event does to a worker in @state. An event without an entry in the table changes
 * nothing. */
struct worker_state_step worker_state_next(enum worker_state state, enum worker_event event);
