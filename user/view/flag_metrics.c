/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/flag_metrics.h"

#include <stdbool.h>

#include "base/json_read.h"

static bool flag_metrics_is_up(struct json_object *service, const struct min_live *min_live)
{
	(void)min_live;
	return !json_read_value(service, "error");
}

static bool flag_metrics_is_supervised(struct json_object *service, const struct min_live *min_live)
{
	(void)min_live;
	return json_read_value(service, "supervisor_pid");
}

/* A service that can't be read is not ready, as /ready answers (view/ready_view.h). */
static bool flag_metrics_is_ready(struct json_object *service, const struct min_live *min_live)
{
	struct json_object *ready = json_read_value(service, "readiness");

	return json_read_flag(ready, "ready") &&
	       json_read_number(ready, "live") >=
	               min_live_count(min_live, (unsigned int)json_read_number(ready, "wanted"));
}

static bool flag_metrics_is_draining(struct json_object *service, const struct min_live *min_live)
{
	(void)min_live;
	return json_read_value(json_read_value(service, "readiness"), "draining_since");
}

static bool flag_metrics_is_read(struct json_object *service)
{
	return json_read_value(service, "readiness");
}

static bool flag_metrics_is_run(struct json_object *service)
{
	return json_read_flag(service, "run");
}

static const struct {
	const char *name, *help;
	bool (*is_so)(struct json_object *service, const struct min_live *min_live);
	bool (*has)(struct json_object *service); /* NULL: each service has it */
} metrics[FLAG_METRIC_MAX] = {
        [FLAG_METRIC_UP] = {"reuseportd_up", "whether the service could be read",
                            flag_metrics_is_up, NULL},
        [FLAG_METRIC_SUPERVISOR_UP] = {"reuseportd_supervisor_up",
                                       "whether the supervisor of a service of `run` lives",
                                       flag_metrics_is_supervised, flag_metrics_is_run},
        [FLAG_METRIC_READY] = {"reuseportd_ready",
                               "whether the service takes new connections, as /ready answers",
                               flag_metrics_is_ready, NULL},
        [FLAG_METRIC_DRAINING] = {"reuseportd_draining",
                                  "whether the host drains (`drain-host`), or the service's "
                                  "supervisor was asked to stop (`run --lame-duck`)",
                                  flag_metrics_is_draining, flag_metrics_is_read},
};

void flag_metrics_write_head(FILE *out, enum flag_metric metric)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", metrics[metric].name, metrics[metric].help,
	        metrics[metric].name);
}

void flag_metrics_write(FILE *out, enum flag_metric metric, const char *labels,
                        struct json_object *service, const struct min_live *min_live)
{
	if (!metrics[metric].has || metrics[metric].has(service))
		fprintf(out, "%s%s} %d\n", metrics[metric].name, labels,
		        metrics[metric].is_so(service, min_live));
}
