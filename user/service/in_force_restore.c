/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/in_force_restore.h"

#include <stdio.h>

#include "base/clock.h"
#include "core/endpoint.h"
#include "kern/events.h"
#include "kern/steer.h"
#include "service/service_endpoint.h"
#include "service/service_in_force.h"

#define IN_FORCE_RESTORE_QUIET_NS (60 * NS_PER_S)
#define IN_FORCE_RESTORE_TIMES    RPD_SLOT_MAX

/* Returns as service_endpoint_attach(). @ret: the process that has turned SO_REUSEPORT off. */
static int in_force_restore_one(struct service *service, const struct in_force *found,
                                unsigned int endpoint, int own, struct process_id *ret,
                                struct error *err)
{
	int r;

	if (found->state[endpoint] == IN_FORCE_AVOIDED) {
		r = service_endpoint_rejoin(service, endpoint, found->avoids[endpoint], ret, err);
		return r < 0 ? r : SERVICE_ENDPOINT_BORROWED;
	}
	if (own >= 0 && steer_attach(&service->steer, endpoint, own) == 0)
		return SERVICE_ENDPOINT_BORROWED;
	return service_endpoint_attach(service, endpoint, err);
}

static void in_force_restore_say(struct service *service, const struct in_force *found,
                                 unsigned int endpoint, uint32_t pid,
                                 struct in_force_restore_report *report)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	char address[ENDPOINT_TEXT_MAX], text[IN_FORCE_TEXT_MAX], line[256];

	if (report->said_at[endpoint] &&
	    now - report->said_at[endpoint] < IN_FORCE_RESTORE_QUIET_NS)
		return;
	report->said_at[endpoint] = now;
	endpoint_format(&service->steer.service->endpoints[endpoint], address, sizeof(address));
	if (found->state[endpoint] == IN_FORCE_REPLACED)
		snprintf(line, sizeof(line),
		         "%s: %s had replaced the steering program, which is attached again",
		         address, in_force_describe(found, endpoint, text));
	else if (found->state[endpoint] == IN_FORCE_AVOIDED)
		snprintf(line, sizeof(line),
		         "%s: SO_REUSEPORT of a listener of pid %u was off, so that it could get "
		         "all connections; it is on again",
		         address, pid);
	else
		snprintf(line, sizeof(line),
		         "%s: the steering program had been detached, and is attached again",
		         address);
	report->say(line, report->data);
	events_note(&service->steer, RPD_EVENT_restored, RPD_NO_SLOT, 0, address);
}

int in_force_restore(struct service *service, const struct in_force *found,
                     const int own[RPD_ENDPOINT_MAX], struct in_force_restore_report *report,
                     struct error *err)
{
	int n = 0, result = 0;

	for (unsigned int e = 0; e < found->n; e++) {
		struct process_id by = {};
		int r;

		if (!in_force_is_lost(found, e))
			continue;
		r = in_force_restore_one(service, found, e, own ? own[e] : -1, &by, err);
		if (r < 0)
			result = r;
		if (r != SERVICE_ENDPOINT_BORROWED)
			continue;
		in_force_restore_say(service, found, e, by.pid, report);
		n++;
	}
	return result < 0 ? result : n;
}

int in_force_restore_all(struct service *service, struct in_force_restore_report *report,
                         struct error *err)
{
	struct in_force found;
	int n = 0, r;

	do {
		service_in_force_read(service, &found);
		r = in_force_restore(service, &found, NULL, report, err);
		n += r > 0;
	} while (r > 0 && n < IN_FORCE_RESTORE_TIMES);
	return r < 0 ? r : n;
}
