/* SPDX-License-Identifier: BSD-2-Clause */
/* An event loop for a case. */
#pragma once

#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "check/check.h"

/* Fails the case if it cannot be made. */
sd_event *loop_bed_new(void);

void loop_bed_free(sd_event **loop);

#define _cleanup_loop_bed_ _cleanup_(loop_bed_free)

/* Runs the loop once, for a moment at most. */
void loop_bed_run(sd_event *loop);

/* Runs the loop as long as events are pending. */
void loop_bed_drain(sd_event *loop);

/* Runs the loop until the condition is true; fails the case if it is not by the deadline. */
#define CHECK_LOOP(loop, condition)                                                                \
	do {                                                                                       \
		const int64_t _end = deadline_ms();                                                \
		while (!(condition) && deadline_clock_ms() < _end)                                 \
			loop_bed_run(loop);                                                        \
		CHECK(condition);                                                                  \
	} while (0)
