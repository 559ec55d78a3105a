/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/ready_view.h"

#include <stdio.h>
#include <string.h>

#include "base/json_build.h"
#include "service/drain_mark.h"
#include "service/observe.h"
#include "service/service.h"
#include "service/service_in_force.h"

#define AGENT_REASON_MAX 128

void ready_view_begin(struct ready_view *it, const struct min_live *min_live)
{
	*it = (struct ready_view){.min_live = *min_live, .draining_since = drain_mark_read(NULL)};
}

void ready_view_note_fault(struct ready_view *it, const char *fault)
{
	if (!it->why[0])
		snprintf(it->why, sizeof(it->why), "%s", fault);
}

void ready_view_add(struct ready_view *it, const char *name, const struct service_ready *ready)
{
	const unsigned int needed = min_live_count(&it->min_live, ready->wanted);
	/* The workers of a service that is draining may be stopping. */
	const bool has_enough = ready->live >= needed || ready->draining_since;
	char text[256];

	it->services++;
	it->live += ready->live;
	it->wanted += ready->wanted;
	memcpy(it->version, ready->version, sizeof(it->version));
	if (ready->draining_since &&
	    (!it->draining_since || ready->draining_since < it->draining_since))
		it->draining_since = ready->draining_since;
	if (!has_enough && !ready->live)
		snprintf(text, sizeof(text), "service '%s' has no worker for new connections",
		         name);
	else if (!has_enough)
		snprintf(text, sizeof(text),
		         "service '%s' has %u of %u workers for new connections, and needs %u "
		         "(--min-live)",
		         name, ready->live, ready->wanted, needed);
	if (ready->fault[0] || !has_enough)
		ready_view_note_fault(it, ready->fault[0] ? ready->fault : text);
}

void ready_view_read(const char *name, void *data)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_ struct service service;
	struct service_ready ready;
	struct ready_view *it = data;
	struct in_force found;
	struct error why;
	int r;

	service_init(&service);
	r = service_try_open(&service, name, &why);
	it->none |= r == SERVICE_NONE;
	it->busy |= r == SERVICE_LOCKED;
	if (r == SERVICE_OPEN)
		r = observe(&service, OBSERVE_KNOWN, &observed, &why);
	if (r != 0) {
		it->services++;
		if (r != SERVICE_LOCKED || !it->draining_since)
			ready_view_note_fault(it, why.text);
		return;
	}
	service_in_force_read(&service, &found);
	service_ready_read(&service, &observed, &found, &ready);
	ready_view_add(it, name, &ready);
}

enum ready_state ready_view_state(const struct ready_view *it)
{
	if (!it->services || it->why[0])
		return READY_NOT;
	return it->draining_since ? READY_DRAINING : READY_YES;
}

static const char *ready_view_reason(const struct ready_view *it)
{
	if (it->why[0])
		return it->why;
	return it->services ? "draining" : "there is no service";
}

struct json_object *ready_view_new(const struct ready_view *it)
{
	struct json_object *view = json_build_new_object();
	const bool ready = ready_view_state(it) == READY_YES;

	json_build_flag(view, "ready", ready);
	json_build_text(view, "reason", ready ? NULL : ready_view_reason(it));
	json_build_number(view, "live", it->live);
	json_build_number(view, "wanted", it->wanted);
	json_build_text(view, "version", it->services == 1 && it->version[0] ? it->version : NULL);
	if (it->draining_since)
		json_build_time(view, "draining_since", it->draining_since);
	else
		json_build_value(view, "draining_since", NULL);
	return view;
}

/* HAProxy logs the text: it gets one line of plain characters. */
static void ready_view_copy_reason(const char *reason, char ret[AGENT_REASON_MAX])
{
	size_t n = 0;

	for (; reason[n] && reason[n] != '\n' && n < AGENT_REASON_MAX - 1; n++)
		ret[n] = reason[n] >= ' ' && reason[n] <= '~' ? reason[n] : '?';
	ret[n] = '\0';
}

const char *ready_view_format_agent(const struct ready_view *it, char *buf, size_t size)
{
	char reason[AGENT_REASON_MAX];

	switch (ready_view_state(it)) {
	case READY_YES:
		snprintf(buf, size, "ready up %u%%\n",
		         it->wanted ? (100 * it->live + it->wanted - 1) / it->wanted : 100);
		break;
	case READY_DRAINING:
		snprintf(buf, size, "drain\n");
		break;
	case READY_NOT:
		ready_view_copy_reason(ready_view_reason(it), reason);
		snprintf(buf, size, "down#%s\n", reason);
		break;
	}
	return buf;
}
