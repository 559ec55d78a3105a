/* SPDX-License-Identifier: BSD-2-Clause */
#include <time.h>

#include "cli/positional.h"
#include "kern/events.h"
#include "service/service.h"
#include "view/answer.h"
#include "view/escape_view.h"
#include "view/event_view.h"
#include "view/json_print.h"
#include "view/outcome_view.h"

#define FOLLOW_INTERVAL_NS 100000000

static void cmd_events_print_event(const struct rpd_event *event, bool json)
{
	struct json_object *view = event_view_new(event);

	if (!json)
		escape_view(view);
	(json ? json_print_line : event_view_print)(stdout, view);
	json_object_put(view);
}

/* Prints the events from number @next on, until the service is detached. An event that the programs
 * count up is printed a second after it began, with what was counted by then. */
static int cmd_events_follow(const struct service *service, uint64_t next, bool json)
{
	const struct timespec pause = {.tv_nsec = FOLLOW_INTERVAL_NS};

	for (;;) {
		for (; next < events_end(&service->steer); next++) {
			struct rpd_event event;

			if (next < events_first(&service->steer))
				next = events_first(&service->steer);
			if (!events_get(&service->steer, next, &event))
				continue;
			if (events_may_grow(&event))
				break;
			cmd_events_print_event(&event, json);
		}
		fflush(stdout);
		if (ferror(stdout))
			return EXIT_REFUSED;
		if (service->steer.service->stage != RPD_STAGE_READY) {
			if (!json)
				outcome_view_print_end(stdout, service->pins.service);
			return EXIT_OK;
		}
		nanosleep(&pause, NULL);
	}
}

int cmd_events(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	int r = positional_take_service(i, err);

	service_init(&service);
	if (r == 0)
		r = service_open(&service, i->service, err);
	if (r < 0)
		return r;
	pins_unlock(&service.pins);
	if (i->follow)
		return cmd_events_follow(&service, events_first(&service.steer), i->json);
	answer_print(event_view_read(&service.steer), i->json, event_view_print_all);
	return 0;
}
