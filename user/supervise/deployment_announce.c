/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_announce.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/events.h"
#include "supervise/deployment_command.h"
#include "supervise/deployment_state.h"
#include "supervise/report.h"

#define TIMEOUT_NS (60 * NS_PER_S)

static void deployment_announce_on_done(bool ok, const char *why, void *data)
{
	struct announcement *it = data;
	struct health_probe *command = TAKE_PTR(it->command);

	if (!ok)
		report_line(it->sup, "on-change: %s", why);
	health_probe_cancel(command);
}

void deployment_announce(struct supervisor *sup, const char *event)
{
	struct announcement *it = NULL;
	char text[RPD_LABEL_MAX + 16];
	struct error err = {};

	snprintf(text, sizeof(text), "%s %s", event, sup->deployment->label);
	if (service_is_open(&sup->service))
		events_note(&sup->service.steer, RPD_EVENT_deployment, RPD_NO_SLOT, 0, text);
	if (!sup->deployment->settings.on_change[0])
		return;
	for (size_t i = 0; i < ARRAY_SIZE(sup->announcements) && !it; i++)
		if (!sup->announcements[i].command)
			it = &sup->announcements[i];
	if (!it) {
		report_line(sup, "on-change: not run for '%s': %zu such commands run already",
		            event, ARRAY_SIZE(sup->announcements));
		return;
	}
	it->sup = sup;
	if (deployment_command_start(
	            sup,
	            &(struct deployment_command){.text = sup->deployment->settings.on_change,
	                                         .event = event,
	                                         .timeout = TIMEOUT_NS,
	                                         .done = deployment_announce_on_done,
	                                         .data = it},
	            &it->command, &err) < 0)
		report_line(sup, "on-change: %s", err.text);
}

bool deployment_announce_has_child(const struct supervisor *sup, uint32_t pid)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->announcements); i++)
		if (sup->announcements[i].command &&
		    health_probe_pid(sup->announcements[i].command) == pid)
			return true;
	return false;
}

void deployment_announce_end(struct supervisor *sup)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->announcements); i++)
		health_probe_cancel(TAKE_PTR(sup->announcements[i].command));
}
