/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "cli/command.h"
#include "cli/watch_reexec.h"
#include "core/endpoint.h"
#include "kern/netns.h"
#include "kern/pins.h"
#include "service/attach.h"
#include "service/in_force_restore.h"
#include "service/response_stats.h"
#include "service/responses.h"
#include "service/service.h"
#include "service/watch.h"
#include "view/service_status.h"

static int cmd_attach_check_input(const struct invocation *i, struct error *err)
{
	if (i->n_args)
		return error_usage(err, "'%s' is one argument too many; see --help", i->args[0]);
	if (!i->has_workers)
		return error_usage(err, "--workers is required: the number of workers, or 'any'");
	if (i->no_count && i->count_max)
		return error_usage(err, "--no-count and --count-max can't be combined");
	if (i->no_count && i->attach.http)
		return error_usage(err,
		                   "--http needs the counts of connections: it can't be "
		                   "combined with --no-count");
	if (i->listen.family && !i->watch)
		return error_usage(err,
		                   "--metrics needs --watch; without it use `reuseportd metrics "
		                   "--listen`");
	return 0;
}

static bool cmd_attach_has_address(const struct rpd_service *info, const struct rpd_endpoint *named)
{
	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (endpoint_has_address(&info->endpoints[e], named->family, named->addr))
			return true;
	return false;
}

static bool cmd_attach_has_addresses(const struct rpd_service *info,
                                     const struct discover_wanted *wanted)
{
	for (size_t i = 0; i < wanted->n_addresses; i++)
		if (!cmd_attach_has_address(info, &wanted->addresses[i]))
			return false;
	return info->n_endpoints > 0;
}

/* An option that has its default value may not have been given at all, and is not compared. */
static bool cmd_attach_deals_so(const struct rpd_schedule *s, const struct attach_request *given)
{
	static const struct dealing defaults;

	return dealing_equal(&given->dealing, &defaults) || dealing_is_of(&given->dealing, s);
}

/* Whether the service has the options that were given, as far as no command changes them. */
static bool cmd_attach_has_options(const struct rpd_service *info, const struct rpd_schedule *s,
                                   const struct attach_request *given)
{
	return (!given->strict || (s->flags & RPD_STRICT)) &&
	       (!strcmp(given->label, RPD_FIRST_LABEL) || !strcmp(given->label, info->label));
}

/* Whether this command line would make the same service again. */
static bool cmd_attach_is_same(const struct invocation *i, const struct service *service,
                               uint64_t netns)
{
	const struct rpd_service *info = service->steer.service;
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	const struct discover_wanted *wanted = &i->attach.wanted;

	return !service_is_run(service) &&
	       (!i->service || !strcmp(i->service, service->pins.service)) &&
	       info->netns_ino == netns &&
	       (!wanted->workers || info->n_workers == wanted->workers) &&
	       (!wanted->port || wanted->port == info->endpoints[0].port) &&
	       cmd_attach_has_addresses(info, wanted) &&
	       (i->watch || cmd_attach_deals_so(s, &i->attach)) &&
	       cmd_attach_has_options(info, s, &i->attach);
}

/* Returns the name of the service that an earlier run of this command line has attached, for
 * example before a restart of `attach --watch`. False if there is none, or more than one. */
static bool cmd_attach_find_attached(const struct invocation *i, char ret[RPD_LABEL_MAX],
                                     bool *ret_deals_so)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	struct error ignored;
	uint64_t netns;
	size_t n, found = 0;

	if (netns_find_inode(i->attach.wanted.pid, &netns) < 0 ||
	    pins_list_services(&names, &n, &ignored) < 0)
		return false;
	for (size_t s = 0; s < n; s++) {
		_cleanup_service_ struct service service;

		service_init(&service);
		if (service_peek(&service, names[s], &ignored) < 0 ||
		    !cmd_attach_is_same(i, &service, netns))
			continue;
		memcpy(ret, names[s], RPD_LABEL_MAX);
		*ret_deals_so = cmd_attach_deals_so(steer_schedule(&service.steer), &i->attach);
		found++;
	}
	return found == 1;
}

static void cmd_attach_print_waiting(const char *why)
{
	escape_print_line(stderr, "waiting: %.*s", (int)strcspn(why, ";\n"), why);
}

static void cmd_attach_on_start(sd_event *loop, void *data)
{
	struct watch_reexec *reexec = data;

	watch_reexec_start(reexec, loop);
	web_process_start(loop, reexec->metrics);
}

/* Watches the service, and serves its metrics if they have an address. */
static int cmd_attach_watch(const char *name, struct watch_reexec *reexec, struct error *err)
{
	reexec->metrics->service = name;
	return watch(name, cmd_attach_on_start, reexec, err);
}

static void cmd_attach_print_restored(const char *line, void *data)
{
	escape_print_line(stderr, "note: %s", line);
}

/* If another program has replaced the steering program of the service, attaches that again. Returns
 * 1 if it has, 0 if there is nothing to do, or a negative errno. */
static int cmd_attach_again(const struct invocation *i, const char *name, bool changed,
                            struct error *err)
{
	_cleanup_service_ struct service service;
	struct in_force_restore_report report = {.say = cmd_attach_print_restored};
	int r;

	service_init(&service);
	r = service_open(&service, name, err);
	if (r == 0)
		r = in_force_restore_all(&service, &report, err);
	if (r > 0 || (r == 0 && changed))
		r = service_status_print(&service, i->json, err) < 0 ? -EIO : 1;
	return r;
}

/* Begins to count the HTTP responses of a service that is attached already. Returns 1 if they were
 * not counted before, 0 or a negative errno. */
static int cmd_attach_count_responses(const char *name, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, name, err);
	if (r < 0 || response_stats_are_counted(&service))
		return r;
	r = responses_begin(&service, -1, err);
	return r < 0 ? r : 1;
}

/* Watches a service that is attached already, or changes what has changed. Returns 1 if the command
 * has done that, 0 if there is nothing to do, or a negative errno. */
static int cmd_attach_to_attached(const struct invocation *i, const char *name, bool deals_so,
                                  struct watch_reexec *reexec, struct error *err)
{
	int r = 0;

	if (i->watch && !deals_so)
		fprintf(stderr,
		        "note: the policy of '%s' has been changed since it was attached, "
		        "and stays so: `reuseportd policy` changes it\n",
		        name);
	if (i->attach.http)
		r = cmd_attach_count_responses(name, err);
	if (r < 0)
		return r;
	if (!i->watch)
		return cmd_attach_again(i, name, r > 0, err);
	r = cmd_attach_watch(name, reexec, err);
	return r < 0 ? r : 1;
}

int cmd_attach(struct invocation *i, struct error *err)
{
	const struct web_process_command served = {
	        .name = "metrics", .what = "the metrics", .address.tcp = i->listen};
	_cleanup_web_process_ struct web_process metrics;
	_cleanup_watch_reexec_ struct watch_reexec reexec = WATCH_REEXEC_NONE(&metrics);
	_cleanup_service_ struct service service;
	_cleanup_free_ char *notes = NULL;
	char name[RPD_LABEL_MAX];
	bool is_attached, deals_so = false;
	int r = cmd_attach_check_input(i, err);

	service_init(&service);
	web_process_init(&metrics, served.name);
	if (r == 0 && i->watch)
		r = watch_check(err);
	is_attached = r == 0 && cmd_attach_find_attached(i, name, &deals_so);
	/* To go on with a service matters more than its metrics. */
	if (is_attached && i->watch && i->listen.family)
		web_process_bind_later(&metrics, &served);
	else if (r == 0 && i->listen.family)
		r = web_process_bind(&metrics, &served, err);
	if (r == 0 && i->watch)
		r = watch_reexec_init(&reexec, err);
	if (r < 0)
		return r;
	if (is_attached) {
		r = cmd_attach_to_attached(i, name, deals_so, &reexec, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	i->attach.service = i->service;
	i->attach.report_waiting = cmd_attach_print_waiting;
	if (i->watch) {
		i->attach.on_wait = watch_reexec_poll;
		i->attach.data = &reexec;
	}
	i->attach.wait = (double)i->wait / NS_PER_S;
	if (!i->no_count)
		i->attach.max_conns = i->count_max ? i->count_max : RPD_CONNS_DEFAULT;
	r = attach(&i->attach, &service, &notes, err);
	if (r < 0)
		return r;
	r = service_status_print(&service, i->json, err); /* drops the lock */
	if (notes)
		escape_print_line(stderr, "note: %.*s", (int)strlen(notes) - 1, notes);
	memcpy(name, service.pins.service, sizeof(name));
	service_close(&service);
	if (r < 0 || !i->watch)
		return r;
	fflush(stdout);
	return cmd_attach_watch(name, &reexec, err);
}
