/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits an event source that others can trigger without end to a share of the loop's time. What
 * exceeds it is handled later, and nothing is dropped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct share {
	sd_event_source *source; /* owned */
	sd_event_source *timer;  /* of the pause */
	unsigned int percent;
	bool on;            /* the source is to be enabled, now or after the pause */
	int64_t began, was; /* CLOCK_MONOTONIC, ns: the handler began; it ended the last time */
	int64_t spent;      /* ns that exceed the share */
};

/* Takes over @source, which is enabled or not. @percent of the time is for its handler. */
void share_init(struct share *share, sd_event_source *source, unsigned int percent);

/* Enables or disables the source. During a pause it stays disabled until the pause is over. */
void share_set(struct share *share, bool on);

/* To be called by the source's handler at its beginning and end. */
void share_begin(struct share *share);
void share_end(struct share *share);

/* Frees the source. Nothing happens if share_init() was not called. */
void share_deinit(struct share *share);
