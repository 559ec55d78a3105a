/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many workers start at the same time. Workers that start together share the CPUs: if they are
 * not ready in time, fewer may be. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct start_limit {
	unsigned int most, now; /* workers that may start at the same time; at least 1 */
	unsigned int ready;     /* workers that were ready in time since `now` was set */
	int64_t set_at;         /* when `now` was halved */
};

/* Begins with the most that @cpus CPUs can start. */
void start_limit_init(struct start_limit *limit, unsigned int cpus);

/* A worker that was started at @started_at was not ready in time at @at: halves the limit. Workers
 * that were started before the limit was last halved don't halve it again. Returns whether the
 * limit has changed. */
bool start_limit_note_late(struct start_limit *limit, int64_t started_at, int64_t at);

/* A worker was ready in time. The limit grows by one when as many workers as it allows were. */
void start_limit_note_ready(struct start_limit *limit);
