/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/list_read.h"

#include "base/json_build.h"
#include "service/observe.h"
#include "service/service.h"
#include "view/list_view.h"
#include "view/service_status.h"

void list_read_add(const char *name, void *view)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_ struct service service;
	struct error why;
	int r;

	service_init(&service);
	r = service_try_open(&service, name, &why);
	if (r == SERVICE_OPEN)
		r = observe(&service, OBSERVE_KNOWN, &observed, &why);
	if (r == 0)
		list_view_add(view, &service, &observed);
	else if (r != SERVICE_NONE) /* detached since the names were read */
		list_view_add_unreadable(view, name, why.text);
}

int list_read_status(const char *name, struct json_object *view, struct error *err)
{
	struct json_object *status;
	int r = service_status_read_named(name, WORKER_VIEW_COUNTERS, &status, err);

	if (r == SERVICE_OPEN)
		json_build_add(view, status);
	return r;
}

void list_read_add_status(const char *name, void *view)
{
	struct error why;
	int r = list_read_status(name, view, &why);

	if (r != SERVICE_OPEN && r != SERVICE_NONE)
		list_view_add_unreadable(view, name, why.text);
}
