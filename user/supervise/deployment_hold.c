/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_hold.h"

#include "base/clock.h"
#include "base/memory.h"
#include "core/deploy_settings.h"
#include "supervise/deployment_note.h"
#include "supervise/deployment_state.h"
#include "supervise/reload_end.h"
#include "supervise/report.h"

bool deployment_hold_release(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	reload_end_retire_held(sup);
	if (!it || !it->held_until)
		return false;
	it->timer = sd_event_source_disable_unref(it->timer);
	it->held_until = 0;
	report_line(sup, "the workers of '%s' are no longer kept",
	            it->n_new ? it->old_label : it->label);
	return true;
}

void deployment_hold_end(struct supervisor *sup)
{
	if (deployment_hold_release(sup))
		deployment_note_write(sup);
}

static int deployment_hold_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	deployment_hold_end(data);
	return 0;
}

/* One may be held in a slot that the service has no longer. */
static bool deployment_hold_has_any(const struct supervisor *sup)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->state == WORKER_HELD)
			return true;
	return false;
}

void deployment_hold(struct supervisor *sup, int64_t time)
{
	struct deployment *it = sup->deployment;

	if (!deployment_hold_has_any(sup))
		return;
	it->held_until = time == DEPLOY_FOR_EVER ? INT64_MAX : clock_ns(CLOCK_REALTIME) + time;
	if (time != DEPLOY_FOR_EVER)
		memory_check(sd_event_add_time_relative(sup->loop, &it->timer, CLOCK_MONOTONIC,
		                                        (uint64_t)time / 1000, 1000,
		                                        deployment_hold_on_timer, sup));
}
