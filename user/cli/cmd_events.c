/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <time.h>

#include "cli/show.h"
#include "kern/events.h"

#define FOLLOW_LOOK_NS 100000000

static void cmd_events_print_event(const struct rpd_event *event, bool json)
{
	struct json_object *view = view_event(event);

	if (json)
		printf("%s\n", json_object_to_json_string_ext(view, JSON_C_TO_STRING_PLAIN));
	else
		view_event_text(stdout, view);
	json_object_put(view);
}

/* Prints the events as they come, until the service is detached. What the programs count in one
 * event is printed a second after it began, with what was counted by then. */
static int cmd_events_follow(const struct service *service, uint64_t next, bool json)
{
	const struct timespec pause = {.tv_nsec = FOLLOW_LOOK_NS};

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
				printf("%s: detached\n", service->pins.service);
			return EXIT_OK;
		}
		nanosleep(&pause, NULL);
	}
}

int cmd_events(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	struct json_object *list;
	uint64_t end;
	int r = take_service_argument(i, err);

	service_init(&service);
	if (r == 0)
		r = service_open(&service, i->service, err);
	if (r < 0)
		return r;
	pins_unlock(&service.pins);
	if (i->follow)
		return cmd_events_follow(&service, events_first(&service.steer), i->json);
	list = view_list_new();
	end = events_end(&service.steer);
	for (uint64_t at = events_first(&service.steer); at < end; at++) {
		struct rpd_event event;

		if (events_get(&service.steer, at, &event))
			json_object_array_add(list, view_event(&event));
	}
	if (i->json)
		view_json(stdout, list);
	for (size_t at = 0; !i->json && at < json_object_array_length(list); at++)
		view_event_text(stdout, json_object_array_get_idx(list, at));
	json_object_put(list);
	return 0;
}
