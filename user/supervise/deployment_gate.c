/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_gate.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "supervise/deployment_command.h"
#include "supervise/deployment_note.h"
#include "supervise/deployment_state.h"
#include "supervise/health_probe.h"
#include "supervise/reload.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"

/* A command that takes longer than the interval, and this time, can't say. */
#define TIMEOUT_MIN_NS (60 * NS_PER_S)
#define PAUSE_MIN_NS   (NS_PER_S / 2)

/* What the gate is asked about; NULL: the deployment waits at none, or is on the way back. */
static const char *deployment_gate_about(const struct rollout *rollout)
{
	if (!rollout->at_gate || rollout->aborted || rollout->halt != ROLLOUT_GOES_ON)
		return NULL;
	if (rollout->n_open == 0)
		return "start";
	return rollout->n_open == rollout->n_steps ? "promotion" : "step";
}

static int deployment_gate_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;

	sup->deployment->gate_timer = sd_event_source_disable_unref(sup->deployment->gate_timer);
	deployment_gate_update(sup);
	return 0;
}

/* Asks again later. @why: it has not said. */
static void deployment_gate_wait(struct supervisor *sup, const char *why)
{
	struct deployment *it = sup->deployment;
	const int64_t pause = it->settings.check_interval > PAUSE_MIN_NS
	                              ? it->settings.check_interval
	                              : PAUSE_MIN_NS;

	snprintf(it->reason, sizeof(it->reason), "the gate can't say if the %s may come: %.300s",
	         it->gate_about, why);
	report_line(sup, "%s", it->reason);
	deployment_note_write(sup);
	memory_check(sd_event_add_time_relative(sup->loop, &it->gate_timer, CLOCK_MONOTONIC,
	                                        (uint64_t)pause / 1000, 1000,
	                                        deployment_gate_on_timer, sup));
}

static void deployment_gate_on_done(bool ok, const char *why, void *data)
{
	struct supervisor *sup = data;
	struct deployment *it = sup->deployment;
	struct health_probe *command = TAKE_PTR(it->gate);
	const bool refused = health_probe_exit_status(command) == 1;

	if (ok) {
		report_line(sup, "the gate is open: the %s may come", it->gate_about);
		it->reason[0] = '\0';
		rollout_open_gate(&sup->reload->rollout);
	} else if (refused) {
		snprintf(sup->reload->why, sizeof(sup->reload->why), "the gate refuses the %s: %s",
		         it->gate_about, why);
		report_line(sup, "%s", sup->reload->why);
		rollout_abort(&sup->reload->rollout);
	} else {
		deployment_gate_wait(sup, why);
	}
	health_probe_cancel(command);
	if (ok || refused)
		reload_wake(sup);
}

static void deployment_gate_ask(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;
	const int64_t interval = it->settings.check_interval;
	char event[32];
	const struct deployment_command command = {
	        .text = it->settings.gate,
	        .event = event,
	        .timeout = interval > TIMEOUT_MIN_NS ? interval : TIMEOUT_MIN_NS,
	        .done = deployment_gate_on_done,
	        .data = sup};
	struct error err = {};

	snprintf(event, sizeof(event), "before-%s", it->gate_about);
	if (deployment_command_start(sup, &command, &it->gate, &err) < 0)
		deployment_gate_wait(sup, err.text);
}

void deployment_gate_update(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;
	const char *about = deployment_gate_about(&sup->reload->rollout);

	if (about != it->gate_about || it->gate_number != sup->reload->rollout.n_open)
		deployment_gate_end(sup);
	it->gate_about = about;
	it->gate_number = sup->reload->rollout.n_open;
	if (about && !it->gate && !it->gate_timer)
		deployment_gate_ask(sup);
}

void deployment_gate_end(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	health_probe_cancel(TAKE_PTR(it->gate));
	it->gate_timer = sd_event_source_disable_unref(it->gate_timer);
	it->gate_about = NULL;
}
