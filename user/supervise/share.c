/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/share.h"

#include "base/clock.h"
#include "base/memory.h"

/* What a source may spend at once before it pauses. */
#define SHARE_BURST_NS 20000000ll

/* An event costs at least this, with the loop's own work. */
#define SHARE_EVENT_NS 50000ll

void share_init(struct share *share, sd_event_source *source, unsigned int percent)
{
	int enabled = SD_EVENT_OFF;

	sd_event_source_get_enabled(source, &enabled);
	*share = (struct share){
	        .source = source,
	        .percent = percent,
	        .on = enabled != SD_EVENT_OFF,
	        .was = clock_ns(CLOCK_MONOTONIC),
	};
}

static void share_apply(struct share *share)
{
	sd_event_source_set_enabled(share->source,
	                            share->on && !share->timer ? SD_EVENT_ON : SD_EVENT_OFF);
}

void share_set(struct share *share, bool on)
{
	share->on = on;
	share_apply(share);
}

void share_begin(struct share *share)
{
	share->began = clock_ns(CLOCK_MONOTONIC);
}

static int share_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct share *share = data;

	share->timer = sd_event_source_disable_unref(share->timer);
	share_apply(share);
	return 0;
}

/* Time that has passed pays for time spent. */
void share_end(struct share *share)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	const int64_t paid = (share->began - share->was) / 100 * share->percent;
	int64_t pause;

	share->spent = share->spent > paid ? share->spent - paid : 0;
	share->spent += now - share->began > SHARE_EVENT_NS ? now - share->began : SHARE_EVENT_NS;
	share->was = now;
	if (share->spent < SHARE_BURST_NS || share->timer)
		return;
	pause = (share->spent - SHARE_BURST_NS / 2) / share->percent * 100;
	memory_check(sd_event_add_time_relative(
	        sd_event_source_get_event(share->source), &share->timer, CLOCK_MONOTONIC,
	        (uint64_t)pause / 1000, 1000, share_on_timer, share));
	share_apply(share);
}

void share_deinit(struct share *share)
{
	share->timer = sd_event_source_disable_unref(share->timer);
	share->source = sd_event_source_disable_unref(share->source);
}
