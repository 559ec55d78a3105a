/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/in_force_restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "kern/events.h"
#include "kern/in_force.h"
#include "kern/steer.h"
#include "service/in_force_rejoin.h"
#include "service/service_endpoint.h"
#include "service/service_in_force.h"

#define IN_FORCE_RESTORE_QUIET_NS (60 * NS_PER_S)
#define IN_FORCE_RESTORE_TIMES    3

static bool in_force_restore_is_recent(int64_t at)
{
	return at && clock_ns(CLOCK_MONOTONIC) - at < IN_FORCE_RESTORE_QUIET_NS;
}

static const char *in_force_restore_format(const struct service *service, unsigned int endpoint,
                                           char address[ENDPOINT_TEXT_MAX])
{
	return endpoint_format(&service->steer.service->endpoints[endpoint], address,
	                       ENDPOINT_TEXT_MAX);
}

/* --- the program */

/* Returns as service_endpoint_attach(). */
static int in_force_restore_program(struct service *service, unsigned int endpoint, int own,
                                    struct error *err)
{
	if (own >= 0 && steer_attach(&service->steer, endpoint, own) == 0)
		return SERVICE_ENDPOINT_BORROWED;
	return service_endpoint_attach(service, endpoint, err);
}

static void in_force_restore_say(struct service *service, const struct in_force *found,
                                 unsigned int endpoint, struct in_force_restore_report *report)
{
	char address[ENDPOINT_TEXT_MAX], text[IN_FORCE_TEXT_MAX], line[256];

	if (in_force_restore_is_recent(report->said_at[endpoint]))
		return;
	report->said_at[endpoint] = clock_ns(CLOCK_MONOTONIC);
	in_force_restore_format(service, endpoint, address);
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

/* Returns the number of groups, or a negative errno. */
static int in_force_restore_programs(struct service *service, const struct in_force *found,
                                     const int own[RPD_ENDPOINT_MAX],
                                     struct in_force_restore_report *report, struct error *err)
{
	int n = 0, result = 0;

	for (unsigned int e = 0; e < found->n; e++) {
		int r;

		if (!in_force_lacks_program(found, e))
			continue;
		r = in_force_restore_program(service, e, own ? own[e] : -1, err);
		if (r < 0)
			result = r;
		if (r != SERVICE_ENDPOINT_BORROWED)
			continue;
		in_force_restore_say(service, found, e, report);
		n++;
	}
	return result < 0 ? result : n;
}

/* --- listeners that avoid it */

static void in_force_restore_say_rejoined(struct service *service, unsigned int endpoint,
                                          const struct in_force_rejoined *rejoined,
                                          struct in_force_restore_report *report)
{
	char address[ENDPOINT_TEXT_MAX], whose[64], line[256];

	if (in_force_restore_is_recent(report->said_rejoined_at[endpoint]))
		return;
	report->said_rejoined_at[endpoint] = clock_ns(CLOCK_MONOTONIC);
	if (rejoined->pid)
		snprintf(whose, sizeof(whose), "pid %u", rejoined->pid);
	else if (!rejoined->n)
		strcpy(whose, "an unknown process");
	else
		strcpy(whose, "no process, or of one that can't be seen in /proc,");
	snprintf(line, sizeof(line),
	         "%s: SO_REUSEPORT of a listener of %s was off, so that it could get all "
	         "connections; it is on again",
	         in_force_restore_format(service, endpoint, address), whose);
	report->say(line, report->data);
	events_note(&service->steer, RPD_EVENT_restored, RPD_NO_SLOT, 0, address);
}

static void in_force_restore_say_failed(const struct service *service, unsigned int endpoint,
                                        const char *why, struct in_force_restore_report *report)
{
	char address[ENDPOINT_TEXT_MAX], line[512];

	if (in_force_restore_is_recent(report->said_failed_at[endpoint]))
		return;
	report->said_failed_at[endpoint] = clock_ns(CLOCK_MONOTONIC);
	snprintf(line, sizeof(line),
	         "%s: a listener with SO_REUSEPORT off may get all connections, and "
	         "SO_REUSEPORT can't be turned on again: %.256s",
	         in_force_restore_format(service, endpoint, address), why);
	report->say(line, report->data);
}

static bool in_force_restore_is_avoided(const struct in_force *found, unsigned int endpoint)
{
	return found->avoided[endpoint] && !found->outside[endpoint];
}

/* After the kernel could not go over all listeners: it may have changed those that matter. Returns
 * the number of groups. */
static int in_force_restore_check(struct service *service, const struct in_force *found,
                                  const struct in_force_rejoined rejoined[RPD_ENDPOINT_MAX],
                                  const char *why, struct in_force_restore_report *report)
{
	struct in_force now;
	int n = 0;

	service_in_force_read(service, &now);
	for (unsigned int e = 0; e < found->n; e++) {
		if (!in_force_restore_is_avoided(found, e))
			continue;
		if (in_force_restore_is_avoided(&now, e)) {
			report->failed_at = clock_ns(CLOCK_MONOTONIC);
			in_force_restore_say_failed(service, e, why, report);
		} else if (now.state[e] == IN_FORCE_OURS) {
			in_force_restore_say_rejoined(service, e, &rejoined[e], report);
			n++;
		}
	}
	return n;
}

/* Returns the number of groups. A listener that can't be changed would keep us busy each time. */
static int in_force_restore_rejoin(struct service *service, const struct in_force *found,
                                   struct in_force_restore_report *report)
{
	struct in_force_rejoined rejoined[RPD_ENDPOINT_MAX];
	bool whose[RPD_ENDPOINT_MAX]; /* only what is said */
	struct error why;
	int n = 0;

	if (in_force_restore_is_recent(report->failed_at))
		return 0;
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		whose[e] = !in_force_restore_is_recent(report->said_rejoined_at[e]);
	if (in_force_rejoin(service, whose, rejoined, &why) < 0)
		return in_force_restore_check(service, found, rejoined, why.text, report);
	for (unsigned int e = 0; e < found->n; e++) {
		if (!rejoined[e].n)
			continue;
		in_force_restore_say_rejoined(service, e, &rejoined[e], report);
		n++;
	}
	return n;
}

/* Returns the number of groups. */
static int in_force_restore_listeners(struct service *service, const struct in_force *found,
                                      struct in_force_restore_report *report)
{
	bool avoided = false;

	for (unsigned int e = 0; e < found->n; e++) {
		avoided |= in_force_restore_is_avoided(found, e);
		if (found->outside[e])
			in_force_restore_say_failed(service, e,
			                            "it is not in the workers' group, because it "
			                            "was off when they began to listen; end its "
			                            "process",
			                            report);
	}
	return avoided ? in_force_restore_rejoin(service, found, report) : 0;
}

int in_force_restore(struct service *service, const struct rpd_group_member *rows, size_t n,
                     const int own[RPD_ENDPOINT_MAX], struct in_force_restore_report *report,
                     struct error *err)
{
	struct in_force found;
	int r, rejoined;

	in_force_take(rows, n, &service->steer, &found);
	if (service->reachable)
		in_force_look_up(rows, n, &service->steer, &found);
	r = in_force_restore_programs(service, &found, own, report, err);
	rejoined = in_force_restore_listeners(service, &found, report);
	return r < 0 ? r : r + rejoined;
}

int in_force_restore_once(struct service *service, struct in_force_restore_report *report,
                          struct error *err)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	struct error ignored;
	size_t n = 0;

	if (service->reachable)
		groups_read(&service->groups, &rows, &n, &ignored);
	return in_force_restore(service, rows, n, NULL, report, err);
}

int in_force_restore_all(struct service *service, struct in_force_restore_report *report,
                         struct error *err)
{
	struct error still;
	int n = 0, r;

	do {
		r = in_force_restore_once(service, report, err);
		n += r > 0;
	} while (r > 0 && n < IN_FORCE_RESTORE_TIMES);
	if (r > 0 && service_in_force_require(service, &still) < 0)
		report->say(still.text, report->data);
	return r < 0 ? r : n;
}
