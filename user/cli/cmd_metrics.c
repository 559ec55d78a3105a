/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "cli/exporter.h"
#include "cli/positional.h"
#include "core/endpoint.h"
#include "core/service_name.h"
#include "view/metrics.h"

#define METRICS_BUFFER ((size_t)64 * 1024)

static void cmd_metrics_on_ready(const void *data)
{
	const struct invocation *i = data;
	char address[ENDPOINT_TEXT_MAX];

	fprintf(stderr, "serving http://%s/metrics\n",
	        endpoint_format(&i->listen, address, sizeof(address)));
	sd_notify(0, "READY=1");
}

/* As a child of `run`: the user has not called this command. The process has the name of the link
 * that the parent executes, so it is renamed. */
static void cmd_metrics_on_ready_child(const void *data)
{
	prctl(PR_SET_NAME, "reuseportd");
}

/* Serves the metrics until SIGTERM or SIGINT. */
static int cmd_metrics_serve(const struct invocation *i, struct error *err)
{
	_cleanup_exporter_ struct exporter exporter;
	int r;

	exporter_init(&exporter);
	r = i->service ? service_name_check(i->service, err) : 0;
	if (r == 0)
		r = exporter_inherit(&exporter, err);
	if (r == 0)
		r = exporter_await_bind(&exporter, &i->listen, err);
	if (r < 0)
		return r;
	r = exporter_serve(
	        &exporter, i->service,
	        exporter.lifeline < 0 ? cmd_metrics_on_ready : cmd_metrics_on_ready_child, i, err);
	if (r == 0)
		sd_notify(0, "STOPPING=1");
	return r;
}

int cmd_metrics(struct invocation *i, struct error *err)
{
	/* Never freed: that would take a tenth of the whole time, and the process ends. */
	static struct json_object *services;
	int r = positional_take_service(i, err);

	if (r == 0 && i->listen.family)
		return cmd_metrics_serve(i, err);
	if (r == 0)
		r = exporter_read(i->service, &services, err);
	if (r != SERVICE_OPEN)
		return r < 0 ? r : -ENOENT;
	/* With a thousand workers there are megabytes. */
	setvbuf(stdout, NULL, _IOFBF, METRICS_BUFFER);
	return metrics_print(stdout, services, err);
}
