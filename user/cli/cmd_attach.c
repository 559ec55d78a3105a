/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/command.h"
#include "cli/exporter.h"
#include "cli/show.h"
#include "core/schedule_edit.h"
#include "service/watch.h"
#include "kern/netns.h"

static int cmd_attach_check_input(const struct invocation *i, struct error *err)
{
	if (i->n_args)
		return error_usage(err, "'%s' is one argument too many; see --help", i->args[0]);
	if (!i->has_workers)
		return error_usage(err,
		                   "say how many workers there are: --workers N, or "
		                   "--workers any");
	if (i->no_count && i->count_max)
		return error_usage(err, "either --no-count or --count-max");
	if (i->listen.family && !i->watch)
		return error_usage(err,
		                   "--metrics is for --watch; alone: `reuseportd metrics "
		                   "--listen`");
	return schedule_edit_check_label(i->attach.label, err);
}

static bool cmd_attach_has_address(const struct rpd_service *info, const struct wanted *wanted)
{
	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (info->endpoints[e].family == wanted->family &&
		    !memcmp(info->endpoints[e].addr, wanted->addr, sizeof(wanted->addr)))
			return true;
	return !wanted->family;
}

/* Whether what was given is so; what has its default may have been left out. */
static bool cmd_attach_has_options(const struct rpd_service *info, const struct rpd_schedule *s,
                                   const struct attach_request *given)
{
	return (given->policy == RPD_ROUND_ROBIN || given->policy == s->policy) &&
	       (!given->strict || (s->flags & RPD_STRICT)) &&
	       (!strcmp(given->label, RPD_FIRST_LABEL) || !strcmp(given->label, info->label));
}

/* Whether it is the service that this command line would make, or, in an earlier life, made. */
static bool cmd_attach_is_asked_for(const struct invocation *i, const struct service *service,
                                    uint64_t netns)
{
	const struct rpd_service *info = service->steer.service;
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	const struct wanted *wanted = &i->attach.wanted;

	return !service_is_run(service) &&
	       (!i->service || !strcmp(i->service, service->pins.service)) &&
	       info->netns_ino == netns &&
	       (!wanted->workers || info->n_workers == wanted->workers) &&
	       (!wanted->port || wanted->port == info->endpoints[0].port) &&
	       cmd_attach_has_address(info, wanted) && cmd_attach_has_options(info, s, &i->attach);
}

/* For --watch of a service that is there already, as after a restart of the watcher: fills in its
 * name and returns true. */
static bool cmd_attach_find_attached(const struct invocation *i, char ret[RPD_LABEL_MAX])
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	struct error ignored;
	uint64_t netns;
	size_t n, found = 0;

	if (netns_of(i->attach.wanted.pid, &netns) < 0 || pins_list(&names, &n, &ignored) < 0)
		return false;
	for (size_t s = 0; s < n; s++) {
		_cleanup_service_ struct service service;

		service_init(&service);
		if (service_peek(&service, names[s], &ignored) < 0 ||
		    !cmd_attach_is_asked_for(i, &service, netns))
			continue;
		memcpy(ret, names[s], RPD_LABEL_MAX);
		found++;
	}
	return found == 1;
}

static void cmd_attach_say_waiting(const char *why)
{
	fprintf(stderr, "waiting: %.*s\n", (int)strcspn(why, ";\n"), why);
}

/* Watches, and serves the metrics if it is asked to. */
static int cmd_attach_stay(const char *name, struct exporter *exporter, struct error *err)
{
	int r = exporter->listener < 0 ? 0 : exporter_start(exporter, name, err);

	return r < 0 ? r : watch(name, err);
}

int cmd_attach(struct invocation *i, struct error *err)
{
	_cleanup_exporter_ struct exporter exporter;
	_cleanup_service_ struct service service;
	_cleanup_free_ char *notes = NULL;
	char name[RPD_LABEL_MAX];
	int r = cmd_attach_check_input(i, err);

	service_init(&service);
	exporter_init(&exporter);
	if (r == 0 && i->watch)
		r = watch_check(err);
	if (r == 0 && i->listen.family)
		r = exporter_bind(&exporter, &i->listen, err);
	if (r < 0)
		return r;
	if (i->watch && cmd_attach_find_attached(i, name))
		return cmd_attach_stay(name, &exporter, err);
	i->attach.service = i->service;
	i->attach.waiting = cmd_attach_say_waiting;
	i->attach.wait = (double)i->wait / NS_PER_S;
	if (!i->no_count)
		i->attach.max_conns = i->count_max ? i->count_max : RPD_CONNS_DEFAULT;
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
	return cmd_attach_stay(name, &exporter, err);
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
