/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "base/cleanup.h"
#include "cli/command.h"
#include "kern/pins.h"
#include "service/observe.h"
#include "service/service.h"
#include "view/answer.h"
#include "view/list_view.h"

static void cmd_list_add(struct json_object *view, const char *name)
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

int cmd_list(struct invocation *i, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	struct json_object *view;
	size_t n;
	int r;

	if (i->n_args)
		return error_usage(err, "`list` takes no argument");
	r = pins_list_services(&names, &n, err);
	if (r < 0)
		return r;
	view = list_view_new();
	for (size_t s = 0; s < n; s++)
		cmd_list_add(view, names[s]);
	answer_print(view, i->json, list_view_print);
	return 0;
}
