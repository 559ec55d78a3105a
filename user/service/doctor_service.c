/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/doctor_service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/doctor_checks.h"
#include "core/endpoint.h"
#include "core/schedule.h"
#include "kern/doctor_host.h"
#include "kern/groups.h"
#include "kern/proc_holders.h"
#include "service/service_in_force.h"
#include "service/observe.h"
#include "service/service.h"
#include "service/service_endpoint.h"
#include "service/service_supervisor.h"
#include "service/sockets.h"

/* A list of slots for people, such as "3 5 7", cut with "..." when it gets long. */
struct slot_text {
	char text[120];
	size_t n, listed;
};

#define SLOT_TEXT_END sizeof(" 1023 ...")

static void doctor_service_add_slot(struct slot_text *t, unsigned int slot)
{
	size_t used = strlen(t->text);

	t->n++;
	if (used + SLOT_TEXT_END <= sizeof(t->text)) {
		snprintf(t->text + used, sizeof(t->text) - used, "%s%u", used ? " " : "", slot);
		t->listed++;
	} else if (t->listed == t->n - 1) {
		strcat(t->text, " ...");
	}
}

static const char *doctor_service_plural(size_t n)
{
	return n == 1 ? "" : "s";
}

/* The slots that are to have a worker, and what is wrong with these. */
struct doctor_workers {
	unsigned int wanted;
	struct slot_text dead, stalled;
	struct slot_text waiting; /* for their first worker, or for a restart */
};

static void doctor_service_sort_slot(const struct service *service, const struct observed *o,
                                     unsigned int slot, struct doctor_workers *ret)
{
	const bool filled = steer_schedule(&service->steer)->slots[slot].state != RPD_SLOT_EMPTY;
	const enum rpd_run run = o->slots[slot].worker->run;

	/* No worker is expected here; doctor_service_check_run() reports the failed slots. */
	if (run == RPD_RUN_FAILED || run == RPD_RUN_STOPPED)
		return;
	ret->wanted += service_is_run(service) || filled;
	if (!o->slots[slot].there && (run == RPD_RUN_STARTING || run == RPD_RUN_BACKOFF))
		doctor_service_add_slot(&ret->waiting, slot);
	else if (!o->slots[slot].there && filled)
		doctor_service_add_slot(&ret->dead, slot);
	if (o->slots[slot].stalled)
		doctor_service_add_slot(&ret->stalled, slot);
}

static int doctor_service_check_there(const struct service *service, const struct doctor_workers *w,
                                      struct doctor_checks *checks)
{
	const char *name = service->pins.service;
	int r = 0;

	if (w->dead.n)
		r = doctor_checks_add(
		        checks, w->dead.n == w->wanted ? CHECK_FAIL : CHECK_WARN, name,
		        service_is_run(service)
		                ? "its supervisor starts new ones"
		                : "swap a new worker in, or run `reuseportd attach --watch`, "
		                  "which admits new workers",
		        "%zu of %u workers are dead: slot%s %s", w->dead.n, w->wanted,
		        doctor_service_plural(w->dead.n), w->dead.text);
	if (r == 0 && w->waiting.n)
		r = doctor_checks_add(
		        checks, w->waiting.n == w->wanted ? CHECK_FAIL : CHECK_WARN, name,
		        "see its log for the reason",
		        "%zu of %u workers are not there, but starting or to be restarted: slot%s "
		        "%s",
		        w->waiting.n, w->wanted, doctor_service_plural(w->waiting.n),
		        w->waiting.text);
	return r;
}

static int doctor_service_check_workers(const struct service *service, const struct observed *o,
                                        struct doctor_checks *checks)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	const char *name = service->pins.service;
	struct doctor_workers w = {};
	int r;

	for (unsigned int slot = 0; slot < o->n_slots; slot++)
		doctor_service_sort_slot(service, o, slot, &w);
	r = doctor_service_check_there(service, &w, checks);
	if (r == 0 && !w.dead.n && !w.waiting.n && !w.stalled.n)
		r = doctor_checks_add(checks, CHECK_OK, name, NULL, "all %u workers live",
		                      w.wanted);
	if (r == 0 && w.stalled.n)
		r = doctor_checks_add(
		        checks, CHECK_FAIL, name,
		        service_is_run(service)
		                ? "`reuseportd restart` replaces them"
		                : "drain them, or restart their server; `reuseportd attach "
		                  "--watch` removes stalled workers from the ring",
		        "no process polls the listeners of slot%s %s, though they are "
		        "open: connections to them hang",
		        doctor_service_plural(w.stalled.n), w.stalled.text);
	if (r == 0 && service->steer.service->n_endpoints && !schedule_is_served(s))
		r = doctor_checks_add(checks, CHECK_FAIL, name,
		                      "resume a worker, give one a weight, or detach",
		                      "no live worker takes new connections");
	return r;
}

/* Checks the supervisor, and its failed slots. */
static int doctor_service_check_run(const struct service *service, const struct observed *o,
                                    struct doctor_checks *checks)
{
	const char *name = service->pins.service;
	struct slot_text failed = {};
	int r = 0;

	if (!service_is_run(service))
		return 0;
	if (!service_supervisor_pid(service))
		r = doctor_checks_add(
		        checks, CHECK_WARN, name,
		        "run the same `reuseportd run` command again: it takes over the workers",
		        "its supervisor has died: workers that exit are not started again");
	for (unsigned int slot = 0; slot < o->n_slots; slot++)
		if (o->slots[slot].worker->run == RPD_RUN_FAILED)
			doctor_service_add_slot(&failed, slot);
	if (r == 0 && failed.n)
		r = doctor_checks_add(
		        checks, CHECK_FAIL, name,
		        "see the log for the reason; `reuseportd start` and `reload` start "
		        "them again",
		        "failed after crashes: slot%s %s", doctor_service_plural(failed.n),
		        failed.text);
	return r;
}

/* Whether the steering program is in force on each endpoint. */
static int doctor_service_check_in_force(const struct service *service,
                                         struct doctor_checks *checks)
{
	const char *name = service->pins.service;
	char address[ENDPOINT_TEXT_MAX], text[IN_FORCE_TEXT_MAX], remedy[CHECK_TEXT_MAX];
	struct in_force found;
	int r = 0;

	if (!service->reachable)
		return 0;
	if (!groups_are_known(&service->groups))
		return doctor_checks_add(checks, CHECK_NOTE, name, GROUPS_NEEDS,
		                         "it can't be seen whether the steering program is in "
		                         "force");
	service_in_force_read(service, &found);
	for (unsigned int e = 0; r == 0 && e < found.n; e++)
		if (in_force_is_lost(&found, e))
			r = doctor_checks_add(
			        checks, CHECK_FAIL, name,
			        service_in_force_remedy(service, &found, remedy, sizeof(remedy)),
			        "not in force on %s: %s selects the worker",
			        endpoint_format(&service->steer.service->endpoints[e], address,
			                        sizeof(address)),
			        in_force_describe(&found, e, text));
	if (r == 0 && found.n && in_force_find_lost(&found) < 0)
		r = doctor_checks_add(checks, CHECK_OK, name, NULL,
		                      "the steering program is in force");
	return r;
}

/* Whether connections are counted, unless the user has turned that off. */
static int doctor_service_check_counting(const struct service *service,
                                         struct doctor_checks *checks)
{
	const struct rpd_control *control = service->steer.control;
	const char *name = service->pins.service;

	if (service->conns.counting || (!control->counting && !control->counting_error))
		return 0;
	return doctor_checks_add(checks, CHECK_WARN, name,
	                         service_is_run(service) ? "stop the service and run it again"
	                                                 : "detach, and attach again",
	                         "connections are not counted: %s", service->conns.why);
}

static int doctor_service_check_foreign(const struct service *service, const struct observed *o,
                                        struct doctor_checks *checks)
{
	const struct observed_foreign *first = o->foreign;
	bool alone = false;

	if (o->n_foreign == 0)
		return doctor_checks_add(checks, CHECK_OK, service->pins.service, NULL,
		                         "no foreign listeners");
	for (size_t i = 0; i < o->n_foreign; i++)
		alone |= o->foreign[i].alone;
	return doctor_checks_add(
	        checks, alone ? CHECK_FAIL : CHECK_WARN, service->pins.service,
	        alone ? "no admitted worker listens in their group, so the kernel's hash "
	                "chooses among them: attach again"
	              : "they get no connection while an admitted worker lives: stop "
	                "them, or swap them in",
	        "%zu foreign listener%s in its groups; the first is of pid %u (%s)", o->n_foreign,
	        doctor_service_plural(o->n_foreign), first->owner.id.pid, first->owner.comm);
}

/* Whether each worker listens in all groups. */
static int doctor_service_check_groups(const struct service *service, const struct observed *o,
                                       struct doctor_checks *checks)
{
	const unsigned int n_groups = steer_count_endpoints(&service->steer);
	struct slot_text partial = {};

	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		unsigned int n = 0;

		for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
			n += o->slots[slot].cookies[e] != 0;
		if (n > 0 && n < n_groups)
			doctor_service_add_slot(&partial, slot);
	}
	if (partial.n)
		return doctor_checks_add(
		        checks, CHECK_WARN, service->pins.service,
		        "give every worker a listener in each group, or the shares differ between "
		        "groups",
		        "the workers of slot%s %s listen in only some of the %u groups",
		        doctor_service_plural(partial.n), partial.text, n_groups);
	return doctor_checks_add(checks, CHECK_OK, service->pins.service, NULL,
	                         "each worker listens in every group (%u)", n_groups);
}

/* The first endpoint that the listener takes connections from, or NULL. */
static const struct rpd_endpoint *doctor_service_find_loser(const struct service *service,
                                                            const struct listener *listener)
{
	const struct rpd_service *info = service->steer.service;

	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (steer_has_endpoint(&service->steer, e) &&
		    endpoint_takes_from(&listener->endpoint, &info->endpoints[e]))
			return &info->endpoints[e];
	return NULL;
}

static int doctor_service_add_unsteered(const struct service *service,
                                        const struct listener *listener,
                                        struct doctor_checks *checks)
{
	const struct rpd_endpoint *loser = doctor_service_find_loser(service, listener);
	_cleanup_free_ struct holder *holders = NULL;
	char text[ENDPOINT_TEXT_MAX], other[ENDPOINT_TEXT_MAX];
	struct error ignored;
	size_t n = 0;

	endpoint_format(&listener->endpoint, text, sizeof(text));
	if (!loser)
		return doctor_checks_add(
		        checks, CHECK_NOTE, service->pins.service,
		        "to steer it too, give it SO_REUSEPORT and the same user, detach "
		        "and attach again",
		        "%s is not part of this service", text);
	endpoint_format(loser, other, sizeof(other));
	if (proc_holders_find(listener, 1, &holders, &n, &ignored) < 0)
		n = 0;
	return doctor_checks_add(checks, CHECK_FAIL, service->pins.service,
	                         "stop it, or let it listen on another port",
	                         "%s is not part of this service, and takes connections from %s: "
	                         "pid %u (%s) listens there",
	                         text, other, n ? holders[0].id.pid : 0,
	                         n ? holders[0].comm : "unknown");
}

/* Whether there is a listener on the service's ports that is in none of its groups. */
static int doctor_service_check_unsteered(const struct service *service,
                                          struct doctor_checks *checks, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	const struct listener *found = NULL;
	size_t n;
	int r;

	if (!service->reachable)
		return doctor_checks_add(checks, CHECK_FAIL, service->pins.service,
		                         "`reuseportd detach` removes its pins",
		                         "its network namespace is gone");
	r = sockets_listeners(service, &listeners, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (service_endpoint_index(service, &listeners[i].endpoint) >= 0 ||
		    endpoint_is_held(&listeners[i].endpoint))
			continue;
		if (!found || doctor_service_find_loser(service, &listeners[i]))
			found = &listeners[i];
	}
	return r == 0 && found ? doctor_service_add_unsteered(service, found, checks) : r;
}

/* Checks the workers' network namespace, unless doctor has checked it already. */
static int doctor_service_check_network(const struct service *service, uint64_t netns_seen,
                                        struct doctor_checks *checks)
{
	if (!service->reachable || service->steer.service->netns_cookie == netns_seen)
		return 0;
	return doctor_host_check_network(checks, service->pins.service);
}

int doctor_service(const char *name, uint64_t netns_seen, struct doctor_checks *checks,
                   struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed o = {};
	struct error why = {};
	int r;

	service_init(&service);
	r = service_open(&service, name, &why);
	if (r == 0)
		r = observe(&service, OBSERVE_UNCLEAR, &o, &why);
	if (r == 0)
		r = observe_foreign(&o, &why);
	if (r < 0)
		return doctor_checks_add(checks, CHECK_FAIL, name, NULL, "%.250s", why.text);
	r = doctor_service_check_workers(&service, &o, checks);
	if (r == 0)
		r = doctor_service_check_run(&service, &o, checks);
	if (r == 0)
		r = doctor_service_check_in_force(&service, checks);
	if (r == 0)
		r = doctor_service_check_counting(&service, checks);
	if (r == 0)
		r = doctor_service_check_foreign(&service, &o, checks);
	if (r == 0)
		r = doctor_service_check_groups(&service, &o, checks);
	if (r == 0)
		r = doctor_service_check_unsteered(&service, checks, err);
	return r < 0 ? r : doctor_service_check_network(&service, netns_seen, checks);
}
