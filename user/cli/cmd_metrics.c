/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>

#include "cli/positional.h"
#include "cli/web_serve.h"
#include "core/service_name.h"
#include "kern/pins.h"
#include "service/service_each.h"
#include "view/list_read.h"
#include "view/list_view.h"
#include "view/metrics.h"

#define METRICS_BUFFER ((size_t)64 * 1024)

static int cmd_metrics_serve(const struct invocation *i, const struct min_live *min_live,
                             struct error *err)
{
	const struct http_settings settings = {
	        .address.tcp = i->listen,
	        .what = "the metrics",
	        .routes = route_metrics,
	        .look = {.metrics_of = i->service,
	                 .min_live = *min_live,
	                 .patience_ms = PINS_PATIENCE_MS},
	};
	int r = i->service ? service_name_check(i->service, err) : 0;

	return r < 0 ? r : web_serve(&settings, "/metrics", err);
}

int cmd_metrics(struct invocation *i, struct error *err)
{
	/* Never freed: that would take a tenth of the whole time, and the process ends. */
	static struct json_object *services;
	struct min_live min_live;
	int r = positional_take_service(i, err);

	if (r == 0)
		r = min_live_parse(i->web.min_live, &min_live, err);
	if (r == 0 && i->listen.family)
		return cmd_metrics_serve(i, &min_live, err);
	services = list_view_new();
	if (r == 0)
		r = i->service ? list_read_status(i->service, services, err)
		               : service_each(list_read_add_status, services, 0, err);
	if (r != SERVICE_OPEN)
		return r < 0 ? r : -ENOENT;
	/* With a thousand workers there are megabytes. */
	setvbuf(stdout, NULL, _IOFBF, METRICS_BUFFER);
	return metrics_print(stdout, services, &min_live, err);
}
