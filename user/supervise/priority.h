/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of the event loop, the first one first. The loop handles one event at a time. Of
 * several events with the same priority, it handles the oldest one first.
 *
 * The events in the first group are few: a worker can't cause them at will. Timers, probes and
 * control requests have SD_EVENT_PRIORITY_NORMAL. Whatever comes after may be sent without end by
 * others: each such source does a bounded amount each time, and has a share of the time (share.h).
 */
#pragma once

#include <systemd/sd-event.h>

enum {
	PRIORITY_SIGNAL = SD_EVENT_PRIORITY_NORMAL - 21, /* may go on without the lock (turn.h) */
	PRIORITY_EXIT = SD_EVENT_PRIORITY_NORMAL - 20,   /* a main process has ended */
	PRIORITY_EMPTY = SD_EVENT_PRIORITY_NORMAL - 19,  /* all processes of a worker have */
	PRIORITY_RELOAD = SD_EVENT_PRIORITY_NORMAL - 18, /* one that was asked for before others */
	PRIORITY_REAP = SD_EVENT_PRIORITY_NORMAL + 1,    /* children that nothing waits for */
	PRIORITY_UNTRUSTED = SD_EVENT_PRIORITY_NORMAL + 10, /* listeners, messages */
};
