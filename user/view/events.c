/* SPDX-License-Identifier: BSD-2-Clause */
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "view/view.h"

static const struct {
	const char *name, *help;
} kinds[] = {
#define RPD_EVENT(name, help) {#name, help},
#include <reuseportd/events.def>
};
_Static_assert(ARRAY_SIZE(kinds) == RPD_EVENT_KIND_MAX, "a name for each kind");

struct json_object *view_event(const struct rpd_event *event)
{
	struct json_object *view = json_object_new_object();
	int64_t wall = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC) + (int64_t)event->time;
	char time[32];

	snprintf(time, sizeof(time), "%.3f", (double)wall / 1e9);
	json_object_object_add(view, "time", json_object_new_double_s((double)wall / 1e9, time));
	json_object_object_add(view, "event", json_object_new_string(kinds[event->kind].name));
	json_object_object_add(
	        view, "slot", event->slot == RPD_NO_SLOT ? NULL : json_object_new_int(event->slot));
	json_object_object_add(view, "pid", event->pid ? json_object_new_int64(event->pid) : NULL);
	json_object_object_add(view, "count", json_object_new_int64(event->count));
	json_object_object_add(view, "text", json_object_new_string(event->text));
	json_object_object_add(view, "help", json_object_new_string(kinds[event->kind].help));
	return view;
}

void view_event_text(FILE *out, struct json_object *event)
{
	double time = json_object_get_double(json_object_object_get(event, "time"));
	struct json_object *slot = json_object_object_get(event, "slot");
	struct json_object *pid = json_object_object_get(event, "pid");
	const char *text = json_object_get_string(json_object_object_get(event, "text"));
	int64_t count = json_object_get_int64(json_object_object_get(event, "count"));
	time_t seconds = (time_t)time;
	char when[32];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s.%03d  %-*s", when, (int)((time - (double)seconds) * 1000),
	        slot || pid || text[0] || count > 1 ? 11 : 0,
	        json_object_get_string(json_object_object_get(event, "event")));
	if (slot)
		fprintf(out, "  slot %d", json_object_get_int(slot));
	if (pid)
		fprintf(out, "  pid %d", json_object_get_int(pid));
	if (text[0])
		fprintf(out, "  %s", text);
	if (count > 1)
		fprintf(out, "  %ld times", count);
	fputc('\n', out);
}
