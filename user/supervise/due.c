/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/due.h"

int due_new(struct supervisor *sup, int64_t priority, sd_event_handler_t handler, void *data,
            sd_event_source **ret)
{
	sd_event_source *source = NULL;
	int r = sd_event_add_defer(sup->loop, &source, handler, data);

	if (r >= 0)
		r = sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_priority(source, priority);
	if (r < 0) {
		sd_event_source_disable_unref(source);
		return r;
	}
	*ret = source;
	return 0;
}

void due_now(struct supervisor *sup, sd_event_source *source)
{
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	sup->due = true;
}
