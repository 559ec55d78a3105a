/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/show.h"
#include "daemon/watch.h"

static int check_input(const struct invocation *i, struct error *err)
{
	size_t label = strlen(i->attach.label);

	if (i->n_args)
		return error_usage(err, "'%s' is one argument too many; see --help", i->args[0]);
	if (!i->has_workers)
		return error_usage(err,
		                   "say how many workers there are: --workers N, or "
		                   "--workers any");
	if (label == 0 || label >= RPD_LABEL_MAX)
		return error_usage(err, "a version label has 1 to %d bytes", RPD_LABEL_MAX - 1);
	return 0;
}

/* Whether --watch is for a service that is there already: a watcher that was restarted. */
static bool watch_only(const struct invocation *i)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	service_init(&service);
	return i->watch && i->service && service_open(&service, i->service, &ignored) == 0;
}

static void say_waiting(const char *why)
{
	fprintf(stderr, "waiting: %.*s\n", (int)strcspn(why, ";\n"), why);
}

int cmd_attach(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_free_ char *notes = NULL;
	char name[RPD_LABEL_MAX];
	int r = check_input(i, err);

	service_init(&service);
	if (r == 0 && i->watch)
		r = watch_check(err);
	if (r < 0)
		return r;
	if (watch_only(i))
		return watch(i->service, err);
	i->attach.service = i->service;
	i->attach.waiting = say_waiting;
	r = attach(&i->attach, &service, &notes, err);
	if (r < 0)
		return r;
	if (notes)
		fprintf(stderr, "note: %s", notes);
	r = show_status(&service, i->json, err);
	memcpy(name, service.pins.service, sizeof(name));
	service_close(&service);
	if (r < 0 || !i->watch)
		return r;
	fflush(stdout);
	return watch(name, err);
}

int cmd_detach(struct invocation *i, struct error *err)
{
	char name[RPD_LABEL_MAX];
	int r = take_service_argument(i, err);

	if (r == 0)
		r = service_detach(i->service, i->force, name, err);
	if (r < 0)
		return r;
	if (r > 0)
		fprintf(stderr,
		        "note: a group of '%s' could not be told or reached any more: it is "
		        "steered as before, until its listeners close\n",
		        name);
	if (i->json)
		printf("{\"service\": \"%s\", \"detached\": %s}\n", name, r ? "false" : "true");
	else if (r == 0)
		printf("%s: detached; the kernel's hash chooses the worker again\n", name);
	else
		printf("%s: its pins are removed\n", name);
	return 0;
}
