/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "base/cleanup.h"
#include "cli/show.h"
#include "core/schedule_edit.h"
#include "service/doctor_service.h"
#include "service/observe.h"
#include "kern/doctor_host.h"
#include "kern/netns.h"

int cmd_status(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	if (i->watch && i->json)
		return error_usage(err, "--watch draws on a terminal, --json is for programs");
	if (i->watch)
		return cmd_top(i, err);
	r = take_service_argument(i, err);
	if (r == 0)
		r = service_open(&service, i->service, err);
	return r < 0 ? r : show_status(&service, i->json, err);
}

int cmd_connections(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	_cleanup_connections_ struct connections connections = {};
	struct json_object *view;
	struct slots slots = {};
	int r = 0;

	service_init(&service);
	if (i->n_args > 1 || (i->n_args == 1 && slots_is_list(i->args[0])))
		r = take_slot_arguments(i, 0, &slots, err);
	else
		r = take_service_argument(i, err);
	if (r == 0)
		r = service_open(&service, i->service, err);
	if (r == 0 && slots.n)
		r = schedule_edit_check_slots(steer_schedule(&service.steer), &slots, err);
	if (r == 0)
		r = observe(&service, OBSERVE_KNOWN, &observed, err);
	if (r == 0)
		r = connections_take(&service, &observed, slots.n ? &slots : NULL, true,
		                     &connections, err);
	if (r < 0)
		return r;
	pins_unlock(&service.pins);
	view = view_connections(&connections);
	(i->json ? view_json : view_connections_text)(stdout, view);
	json_object_put(view);
	return 0;
}

int cmd_list(struct invocation *i, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	struct json_object *list;
	size_t n;
	int r;

	if (i->n_args)
		return error_usage(err, "`list` takes no argument");
	r = pins_list_services(&names, &n, err);
	if (r < 0)
		return r;
	list = view_list_new();
	for (size_t s = 0; s < n; s++) {
		_cleanup_observed_ struct observed observed = {};
		_cleanup_service_ struct service service;
		struct error why;

		service_init(&service);
		r = service_try_open(&service, names[s], &why);
		if (r == SERVICE_OPEN)
			r = observe(&service, OBSERVE_KNOWN, &observed, &why);
		if (r == 0)
			view_list_add(list, &service, &observed);
		else if (r != SERVICE_NONE) /* which was detached, or cleaned up, meanwhile */
			view_list_add_broken(list, names[s], why.text);
	}
	(i->json ? view_json : view_list_text)(stdout, list);
	json_object_put(list);
	return 0;
}

/* The rows on each service, or on the one that was named. */
static int cmd_status_check_services(const struct invocation *i, struct doctor_checks *checks,
                                     struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	uint64_t netns = 0, ino;
	struct error ignored;
	size_t n;
	int r = pins_list_services(&names, &n, err);

	if (r < 0)
		return r == -EACCES && !i->service ? 0 : r;
	netns_identify(&netns, &ino, &ignored); /* before a service takes us to its own */
	if (i->service)
		return doctor_service(i->service, netns, checks, err);
	for (size_t s = 0; r == 0 && s < n; s++)
		r = doctor_service(names[s], netns, checks, err);
	return r;
}

int cmd_doctor(struct invocation *i, struct error *err)
{
	struct doctor_checks checks = {};
	struct json_object *view;
	int r = take_service_argument(i, err);

	if (r < 0)
		return r;
	r = doctor_host_check(&checks);
	if (r < 0)
		error_set(err, r, "out of memory");
	else
		r = cmd_status_check_services(i, &checks, err);
	if (r == 0) {
		view = view_checks(&checks);
		(i->json ? view_json : view_checks_text)(stdout, view);
		json_object_put(view);
		r = doctor_checks_worst(&checks) == CHECK_FAIL ? EXIT_REFUSED : EXIT_OK;
	}
	doctor_checks_free(&checks);
	return r;
}
