/* SPDX-License-Identifier: BSD-2-Clause */
/* For checks of what runs in an event loop: goes round until something is so. */
#pragma once

#include <systemd/sd-event.h>

#include "check_discovery.h"

#define LOOP_ROUND_US 20000 /* what is not waited for by the loop is looked at that often */

#define CHECK_LOOP(loop, condition)                                                                \
	do {                                                                                       \
		const time_t _end = time(NULL) + DEADLINE_S;                                       \
		while (!(condition) && time(NULL) < _end)                                          \
			sd_event_run(loop, LOOP_ROUND_US);                                         \
		CHECK(condition);                                                                  \
	} while (0)

static inline sd_event *loop_new(void)
{
	sd_event *loop = NULL;

	return sd_event_new(&loop) < 0 ? NULL : loop;
}

static inline void loop_end(sd_event **loop)
{
	sd_event_unref(*loop);
}

#define _cleanup_loop_ _cleanup_(loop_end)
