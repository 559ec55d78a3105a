/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/service_status.h"

#include "kern/pins.h"
#include "service/observe.h"
#include "service/worker_stats.h"
#include "view/answer.h"
#include "view/status_view.h"

int service_status_read(struct service *service, bool scan, enum worker_view_detail detail,
                        struct json_object **ret, struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_stats_ struct service_stats stats = {};
	int r = observe(service, scan ? OBSERVE_UNCLEAR : OBSERVE_KNOWN, &observed, err);

	if (r == 0 && scan)
		r = observe_foreign(&observed, err);
	if (r == 0)
		r = worker_stats_take(service, &observed, &stats, err);
	return r < 0 ? r : status_view_new(service, &observed, &stats, detail, ret, err);
}

int service_status_read_named(const char *name, enum worker_view_detail detail,
                              struct json_object **ret, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_try_open(&service, name, err);
	return r == SERVICE_OPEN ? service_status_read(&service, false, detail, ret, err) : r;
}

static int service_status_answer(struct service *service, bool json,
                                 void (*print)(FILE *, struct json_object *), struct error *err)
{
	struct json_object *view;
	int r = service_status_read(service, true, json ? WORKER_VIEW_FULL : WORKER_VIEW_TABLE,
	                            &view, err);

	if (r < 0)
		return r;
	/* A slow reader of the output, such as a pager, must not hold up other commands. */
	pins_unlock(&service->pins);
	answer_print(view, json, print);
	return 0;
}

int service_status_print(struct service *service, bool json, struct error *err)
{
	return service_status_answer(service, json, status_view_print, err);
}

int service_status_print_summary(struct service *service, bool json, struct error *err)
{
	return service_status_answer(service, json, status_view_print_summary, err);
}
