/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/show.h"

#include <errno.h>
#include <string.h>

#include "service/observe.h"

static void show_drop_first(struct invocation *i)
{
	memmove(i->args, i->args + 1, --i->n_args * sizeof(i->args[0]));
}

static int show_set_service(struct invocation *i, struct error *err)
{
	if (i->service)
		return error_usage(err, "the service is named twice: '%s' and '%s'", i->service,
		                   i->args[0]);
	i->service = i->args[0];
	show_drop_first(i);
	return 0;
}

int take_service_argument(struct invocation *i, struct error *err)
{
	int r = i->n_args ? show_set_service(i, err) : 0;

	if (r == 0 && i->n_args)
		return error_usage(err, "'%s' is one argument too many; see --help", i->args[0]);
	return r;
}

int take_slot_arguments(struct invocation *i, int keep, struct slots *ret, struct error *err)
{
	int r = 0;

	ret->n = 0;
	if (i->n_args > keep && !slots_is_list(i->args[0]))
		r = show_set_service(i, err);
	while (r == 0 && i->n_args > keep) {
		r = slots_parse(ret, i->args[0], err);
		show_drop_first(i);
	}
	if (r == 0 && ret->n == 0 && !keep)
		return error_usage(err, "name the slots, such as 3 or 0-3,7");
	if (r == 0 && (ret->n == 0 || i->n_args < keep))
		return error_usage(err, "an argument is missing; see --help");
	return r;
}

int show_take(struct service *service, bool timer, struct json_object **ret, struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_stats_ struct service_stats load = {};
	int r = observe(service, timer ? OBSERVE_KNOWN : OBSERVE_UNCLEAR, &observed, err);

	if (r == 0 && !timer)
		r = observe_foreign(&observed, err);
	if (r == 0)
		r = worker_stats_take(service, &observed, &load, err);
	if (r < 0)
		return r;
	*ret = view_status(service, &observed, &load, err);
	return *ret ? 0 : -EIO;
}

int show_look(const char *name, struct json_object **ret, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_try_open(&service, name, err);
	return r == SERVICE_OPEN ? show_take(&service, true, ret, err) : r;
}

static int show(struct service *service, bool json, void (*text)(FILE *, struct json_object *),
                struct error *err)
{
	struct json_object *view;
	int r = show_take(service, false, &view, err);

	if (r < 0)
		return r;
	/* Whoever reads this may take his time (a pager): nobody is to wait for that. */
	pins_unlock(&service->pins);
	(json ? view_json : text)(stdout, view);
	json_object_put(view);
	return 0;
}

int show_status(struct service *service, bool json, struct error *err)
{
	return show(service, json, view_status_text, err);
}

int show_change(struct service *service, bool json, struct error *err)
{
	return show(service, json, view_change_text, err);
}
