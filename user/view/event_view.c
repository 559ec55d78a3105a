/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/event_view.h"

#include <inttypes.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "kern/events.h"

static const struct {
	const char *name, *help;
} kinds[] = {
#define RPD_EVENT(name, help) {#name, help},
#include <reuseportd/events.def>
};
_Static_assert(ARRAY_SIZE(kinds) == RPD_EVENT_KIND_MAX, "a name for each kind");

struct json_object *event_view_new(const struct rpd_event *event)
{
	struct json_object *view = json_build_new_object();
	int64_t wall = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC) + (int64_t)event->time;

	json_build_number(view, "seq", (int64_t)event->seq);
	json_build_time(view, "time", wall);
	json_build_text(view, "event", kinds[event->kind].name);
	json_build_known(view, "slot", event->slot != RPD_NO_SLOT, event->slot);
	json_build_known(view, "pid", event->pid, event->pid);
	json_build_number(view, "count", event->count);
	json_build_text(view, "text", event->text);
	json_build_text(view, "help", kinds[event->kind].help);
	return view;
}

struct json_object *event_view_read(const struct steer *steer)
{
	struct json_object *list = json_build_new_array();
	const uint64_t end = events_end(steer);
	struct rpd_event event;

	for (uint64_t at = events_first(steer); at < end; at++)
		if (events_get(steer, at, &event))
			json_build_add(list, event_view_new(&event));
	return list;
}

struct json_object *event_view_after(struct json_object *events, int64_t after, size_t max)
{
	struct json_object *list = json_build_new_array();
	const size_t n = json_object_array_length(events);
	size_t i = 0;

	if (after < 0)
		i = n > max ? n - max : 0;
	for (; i < n && json_object_array_length(list) < max; i++) {
		struct json_object *event = json_object_array_get_idx(events, i);

		if (json_read_number(event, "seq") > after)
			json_build_add(list, json_object_get(event));
	}
	return list;
}

void event_view_print(FILE *out, struct json_object *view)
{
	double time = json_read_real(view, "time");
	struct json_object *slot = json_read_value(view, "slot");
	const char *text = json_read_text(view, "text");
	int64_t pid = json_read_number(view, "pid"), count = json_read_number(view, "count");
	time_t seconds = (time_t)time;
	char when[32];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s.%03d  %-*s", when, (int)((time - (double)seconds) * 1000),
	        slot || pid || text[0] || count > 1 ? 11 : 0, json_read_text(view, "event"));
	if (slot)
		fprintf(out, "  slot %d", json_object_get_int(slot));
	if (pid)
		fprintf(out, "  pid %" PRId64, pid);
	if (text[0])
		fprintf(out, "  %s", text);
	if (count > 1)
		fprintf(out, "  %" PRId64 " times", count);
	fputc('\n', out);
}

void event_view_print_all(FILE *out, struct json_object *events)
{
	for (size_t i = 0; i < json_object_array_length(events); i++)
		event_view_print(out, json_object_array_get_idx(events, i));
}
