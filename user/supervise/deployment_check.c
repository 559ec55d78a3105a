/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_check.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "supervise/deployment_command.h"
#include "supervise/deployment_state.h"
#include "supervise/health_probe.h"
#include "supervise/report.h"

/* A command that takes longer than the interval, and this time, can't say. */
#define TIMEOUT_MIN_NS (10 * NS_PER_S)

static void deployment_check_on_done(bool ok, const char *why, void *data)
{
	struct supervisor *sup = data;
	struct deployment *it = sup->deployment;
	struct health_probe *check = TAKE_PTR(it->check);
	const int status = health_probe_exit_status(check);

	it->n_good_checks += ok;
	it->n_bad_checks += status == 1;
	if (!ok)
		report_line(sup, "check: %s%s", why,
		            status == 1   ? ": the new version is bad"
		            : status == 2 ? ": it can't say"
		                          : "");
	health_probe_cancel(check);
}

static int deployment_check_start(struct supervisor *sup, struct error *err)
{
	struct deployment *it = sup->deployment;
	const int64_t interval = it->settings.check_interval;
	const struct deployment_command command = {
	        .text = it->settings.check,
	        .event = "check",
	        .timeout = interval > TIMEOUT_MIN_NS ? interval : TIMEOUT_MIN_NS,
	        .done = deployment_check_on_done,
	        .data = sup};

	return deployment_command_start(sup, &command, &it->check, err);
}

void deployment_check_run(struct supervisor *sup, int64_t now)
{
	struct deployment *it = sup->deployment;
	struct error err = {};

	if (!it->settings.check[0] || it->check || now < it->check_at)
		return;
	it->check_at = now + it->settings.check_interval;
	if (deployment_check_start(sup, &err) < 0)
		report_line(sup, "check: %s", err.text);
}

struct verdict_count deployment_check_count(const struct supervisor *sup)
{
	const struct deployment *it = sup->deployment;

	return (struct verdict_count){.n = it->n_good_checks + it->n_bad_checks,
	                              .bad = it->n_bad_checks};
}

void deployment_check_end(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	health_probe_cancel(it->check);
	it->check = NULL;
	it->check_at = 0;
}
