/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/in_force_restore.h"

#include <stdio.h>

#include "base/clock.h"
#include "core/endpoint.h"
#include "kern/events.h"
#include "kern/steer.h"
#include "service/service_endpoint.h"

#define IN_FORCE_RESTORE_QUIET_NS (60 * NS_PER_S)

static int in_force_restore_one(struct service *service, unsigned int endpoint, int own,
                                struct error *err)
{
	if (own >= 0 && steer_attach(&service->steer, endpoint, own) == 0)
		return SERVICE_ENDPOINT_BORROWED;
	return service_endpoint_attach(service, endpoint, err);
}

static void in_force_restore_say(struct service *service, const struct in_force *found,
                                 unsigned int endpoint, struct in_force_restore_report *report)
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
		int r;

		if (!in_force_is_lost(found, e))
			continue;
		r = in_force_restore_one(service, e, own ? own[e] : -1, err);
		if (r < 0)
			result = r;
		if (r != SERVICE_ENDPOINT_BORROWED)
			continue;
		in_force_restore_say(service, found, e, report);
		n++;
	}
	return result < 0 ? result : n;
}
