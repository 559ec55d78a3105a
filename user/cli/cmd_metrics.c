/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "cli/exporter.h"
#include "cli/positional.h"
#include "core/endpoint.h"
#include "core/service_name.h"
#include "kern/pins.h"
#include "view/metrics.h"

/* Serves the metrics until SIGTERM or SIGINT. */
static int cmd_metrics_serve(const struct invocation *i, struct error *err)
{
	_cleanup_exporter_ struct exporter exporter;
	char address[ENDPOINT_TEXT_MAX];
	sigset_t ends;
	int r, number;

	exporter_init(&exporter);
	r = i->service ? service_name_check(i->service, err) : 0;
	if (r == 0)
		r = exporter_bind(&exporter, &i->listen, err);
	if (r < 0)
		return r;
	/* A scrape that fails is more useful than one that waits for another command. */
	pins_set_waiting(pins_never_wait, PINS_PATIENCE_MS);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	r = exporter_start(&exporter, i->service, err);
	if (r < 0)
		return r;
	fprintf(stderr, "serving http://%s/metrics\n",
	        endpoint_format(&i->listen, address, sizeof(address)));
	sd_notify(0, "READY=1");
	sigwait(&ends, &number);
	sd_notify(0, "STOPPING=1");
	return 0;
}

int cmd_metrics(struct invocation *i, struct error *err)
{
	struct json_object *services;
	int r = positional_take_service(i, err);

	if (r == 0 && i->listen.family)
		return cmd_metrics_serve(i, err);
	if (r == 0)
		r = exporter_read(i->service, &services, err);
	if (r != SERVICE_OPEN)
		return r < 0 ? r : -ENOENT;
	r = metrics_print(stdout, services, err);
	json_object_put(services);
	return r;
}
