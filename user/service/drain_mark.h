/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mark that load balancers must send no new connection: of the host (`drain-host`), or of one
 * service whose supervisor was asked to stop (`run --lame-duck`). It changes nothing but what
 * /ready, the agent and the metrics answer: workers go on accepting.
 *
 * A mark is an empty file in /run/reuseportd, and its time is that of the file. One system call
 * makes or removes it, so a killed command leaves the mark either set or not. It outlives all
 * processes, and ends with the host.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Of all functions: @service is NULL for the mark of the host. */

/* Since when the mark is set; CLOCK_REALTIME, ns; 0 = it is not. A mark that can't be read is not
 * set. */
int64_t drain_mark_read(const char *service);

/* What a change has found. */
enum drain_mark_outcome {
	DRAIN_MARK_CHANGED,
	DRAIN_MARK_UNCHANGED, /* it was so already: the time of a set mark stays */
};

/* A time that is another one after each change of any mark; 0 = there was none. What a program knew
 * before may be wrong then. */
int64_t drain_mark_read_change(void);

/* Return an enum drain_mark_outcome, or a negative errno with @err set. */
int drain_mark_set(const char *service, struct error *err);
int drain_mark_clear(const char *service, struct error *err);
