/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/json_build.h"
#include "cli/ask_supervisor.h"
#include "cli/positional.h"
#include "kern/pins.h"
#include "service/service.h"
#include "service/service_supervisor.h"

static int cmd_reload_service(const struct invocation *i, const char *service, struct error *err)
{
	struct json_object *request = ask_supervisor_new_request(i, "reload");

	if (i->supervisor)
		json_build_flag(request, "all", true);
	if (i->relabel)
		json_build_text(request, "label", i->relabel);
	if (i->run.command)
		json_build_words(request, "argv", i->run.command);
	return ask_supervisor_send(i, service, request, err);
}

static bool cmd_reload_is_run_by(const char *name, uint32_t supervisor)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	service_init(&service);
	return service_open(&service, name, &ignored) == 0 && service_is_run(&service) &&
	       service_supervisor_pid(&service) == supervisor;
}

/* Reloads all services of one supervisor, also those after one that fails. */
static int cmd_reload_all(const struct invocation *i, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	unsigned int found = 0, failed = 0;
	size_t n = 0;
	int r = pins_list_services(&names, &n, err);

	if (r < 0)
		return r;
	for (size_t s = 0; s < n; s++) {
		if (!cmd_reload_is_run_by(names[s], i->supervisor))
			continue;
		found++;
		if (cmd_reload_service(i, names[s], err) == 0)
			continue;
		failed++;
		escape_print_line(stderr, "%s: %s", names[s], err->text);
	}
	if (!found)
		return error_set(err, -ENOENT, "process %u runs no service", i->supervisor);
	if (!failed)
		return 0;
	return error_set(err, -ECANCELED, "%u of %u services were not reloaded", failed, found);
}

int cmd_reload(struct invocation *i, struct error *err)
{
	struct supervised supervised;
	int r;

	if (i->supervisor) {
		if (i->service || i->n_args)
			return error_usage(err, "name a service, or give --supervisor, not both");
		return cmd_reload_all(i, err);
	}
	r = positional_take_service(i, err);
	if (r == 0)
		r = ask_supervisor_find(i, &supervised, err);
	return r < 0 ? r : cmd_reload_service(i, supervised.service, err);
}
