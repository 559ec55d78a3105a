/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "core/service_name.h"
#include "kern/conns.h"
#include "kern/events.h"
#include "kern/features.h"
#include "kern/netns.h"
#include "kern/pins.h"
#include "kern/proc.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "service/admit.h"
#include "service/conn_adopt.h"
#include "service/in_force_restore.h"
#include "service/responses.h"
#include "service/schedule_commit.h"
#include "service/service_in_force.h"
#include "service/service_create.h"
#include "service/service_endpoint.h"
#include "service/service_remove.h"
#include "service/service_supervisor.h"

/* While attach waits: how often it asks for the listeners, and how often it also reads the
 * processes if the listeners are the same. A process may listen, and poll only later. */
#define ATTACH_ASK_NS 100000000
#define ATTACH_LOOK_S 1

/* Waits until the listeners have changed, or ATTACH_LOOK_S are over, or until @deadline. */
static int attach_wait_for_change(const struct attach_request *request, uint64_t seen,
                                  double deadline, struct error *err)
{
	const struct timespec pause = {.tv_nsec = ATTACH_ASK_NS};
	double until = clock_s(CLOCK_MONOTONIC) + ATTACH_LOOK_S;
	uint64_t now = seen;
	int r = 0;

	while (r == 0 && now == seen && clock_s(CLOCK_MONOTONIC) < until &&
	       clock_s(CLOCK_MONOTONIC) < deadline) {
		nanosleep(&pause, NULL);
		if (request->on_wait)
			request->on_wait(request->data);
		r = discover_fingerprint(&request->wanted, &now, err);
	}
	return r;
}

/* Waits until the workers are there or the time is over. */
static int attach_wait_for_workers(const struct attach_request *request, struct discover_found *ret,
                                   struct error *err)
{
	double deadline = clock_s(CLOCK_MONOTONIC) + request->wait;
	struct error last = {};

	for (;;) {
		struct error why = {};
		uint64_t seen;
		int r = discover_fingerprint(&request->wanted, &seen, err);

		if (r < 0)
			return r;
		r = discover(&request->wanted, ret, &why);
		if (r == DISCOVER_FOUND)
			return 0;
		if (r < 0 || clock_s(CLOCK_MONOTONIC) >= deadline)
			return error_set(err, r < 0 ? r : -EAGAIN, "%s", why.text);
		if (strcmp(last.text, why.text) != 0)
			request->report_waiting(why.text);
		last = why;
		r = attach_wait_for_change(request, seen, deadline, err);
		if (r < 0)
			return r;
	}
}

/* Takes the name, unless a service with a live worker has it; a service without one is removed. */
static int attach_claim(struct service *service, const char *name, struct error *err)
{
	int r;

	do {
		r = service_claim(service, name, err);
		if (r != SERVICE_OPEN)
			return r == SERVICE_LOCKED ? -EBUSY : r == SERVICE_NONE ? 0 : r;
		r = service_make_room(service, err);
	} while (r == 0);
	return r;
}

static int attach_check_size(const struct discover_found *found, struct error *err)
{
	const struct roster *roster = &found->roster;

	if (roster->n_groups <= RPD_ENDPOINT_MAX)
		return 0;
	return error_set(err, -E2BIG,
	                 "port %u has workers on %zu addresses, and a service has at most %d; name "
	                 "those of this service with --address, and attach the others as services "
	                 "of their own",
	                 roster->groups[0].endpoint.port, roster->n_groups, RPD_ENDPOINT_MAX);
}

static bool attach_steers_one_of(const struct service *service, const struct discover_found *found,
                                 uint64_t netns_cookie)
{
	if (service->steer.service->netns_cookie != netns_cookie)
		return false;
	for (size_t g = 0; g < found->roster.n_groups; g++)
		if (service_endpoint_index(service, &found->roster.groups[g].endpoint) >= 0)
			return true;
	return false;
}

/* A killed command may have left the service half made, with the workers' listeners in its slots.
 * Opening it cleans that up, and may move this thread to its network namespace. */
static bool attach_is_steered_by(const char *name, const struct discover_found *found,
                                 uint64_t netns_cookie, bool *ret_run)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	service_init(&service);
	if (service_peek(&service, name, &ignored) < 0) {
		service_close(&service);
		if (service_open(&service, name, &ignored) < 0)
			return false;
	}
	*ret_run = service_supervisor_pid(&service) != 0;
	return attach_steers_one_of(&service, found, netns_cookie);
}

/* Refuses groups that another service has: a group has one program. If another attach takes them
 * after this check, the kernel refuses the second one, as a socket can be in one array only. */
static int attach_check_free(const struct discover_found *found, const char *own, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	uint64_t cookie, ino;
	bool run;
	size_t n;
	int r = netns_identify(&cookie, &ino, err);

	if (r == 0)
		r = pins_list_services(&names, &n, err);
	for (size_t s = 0; r == 0 && s < n; s++)
		if (strcmp(names[s], own) != 0 &&
		    attach_is_steered_by(names[s], found, cookie, &run))
			return error_set(err, -EEXIST,
			                 "port %u is attached already, to service '%s'; "
			                 "`reuseportd status %s` shows it, `reuseportd %s %s` "
			                 "ends it",
			                 found->roster.groups[0].endpoint.port, names[s], names[s],
			                 run ? "stop" : "detach", names[s]);
	return r;
}

/* Whether a supervisor serves the port, or the address, that the user names. */
static bool attach_is_run(const char *name, const struct discover_wanted *wanted,
                          uint64_t netns_cookie)
{
	_cleanup_service_ struct service service;
	const struct rpd_service *info;
	struct error ignored;

	service_init(&service);
	if (service_peek(&service, name, &ignored) < 0 || !service_supervisor_pid(&service))
		return false;
	info = service.steer.service;
	for (unsigned int e = 0; info->netns_cookie == netns_cookie && e < info->n_endpoints; e++) {
		const struct rpd_endpoint *it = &info->endpoints[e];

		if (steer_has_endpoint(&service.steer, e) && it->port == wanted->port &&
		    discover_scene_is_wanted(wanted, it))
			return true;
	}
	return false;
}

/* Refuses a port of `run` first: how many workers it has does not matter then. */
static int attach_check_run(const struct discover_wanted *wanted, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	uint64_t cookie, ino;
	size_t n;
	int r = wanted->port ? netns_identify(&cookie, &ino, err) : 0;

	if (r < 0 || !wanted->port)
		return r;
	r = pins_list_services(&names, &n, err);
	for (size_t s = 0; r == 0 && s < n; s++)
		if (attach_is_run(names[s], wanted, cookie))
			r = error_set(err, -EEXIST,
			              "`reuseportd run` serves port %u already, as service '%s': "
			              "its supervisor admits its workers; `reuseportd status %s` "
			              "shows it, `reuseportd stop %s` ends it",
			              wanted->port, names[s], names[s], names[s]);
	return r;
}

static int attach_fill_slots(struct service *service, const struct attach_request *request,
                             const struct discover_found *found, struct rpd_schedule *draft,
                             struct error *err)
{
	static const struct observed nothing;
	const struct roster *roster = &found->roster;
	int r = 0;

	for (size_t slot = 0; r == 0 && slot < roster->n_workers; slot++) {
		struct newcomer newcomer;

		newcomer_from_roster(service, roster, slot, found->listeners, found->holders,
		                     found->n_holders, &newcomer);
		r = schedule_edit_fill_slot(draft, slot, request->label, err);
		if (r == 0)
			r = admit(service, &nothing, slot, &newcomer, draft, err);
	}
	return r;
}

/* Attaches each endpoint's program. The listeners are in the order of their groups. */
static int attach_programs(struct service *service, const struct discover_found *found,
                           struct error *err)
{
	const struct roster *roster = &found->roster;
	int r = SERVICE_ENDPOINT_BORROWED;

	for (size_t g = 0, at = 0; r == SERVICE_ENDPOINT_BORROWED && g < roster->n_groups;
	     at += roster->groups[g++].n_listeners)
		r = service_endpoint_attach_by(
		        service, service_endpoint_index(service, &roster->groups[g].endpoint),
		        &found->listeners[at], roster->groups[g].n_listeners, found->holders,
		        found->n_holders, err);
	if (r == SERVICE_ENDPOINT_BORROWED)
		return 0;
	return r < 0 ? r : -ENOENT;
}

/* Makes the maps, the endpoints and the row of the service. */
static int attach_make_service(struct service *service, const struct attach_request *request,
                               const struct discover_found *found, struct error *err)
{
	int r = 0;

	for (size_t g = 0; r >= 0 && g < found->roster.n_groups; g++)
		r = steer_setup_add_endpoint(&service->steer, &service->pins,
		                             &found->roster.groups[g].endpoint, request->max_conns,
		                             err);
	if (r < 0)
		return r;
	return service_create_describe(service, request->wanted.workers, request->label, err);
}

/* Notes which groups have a program, which ours replaces. */
static int attach_note_replaced(const struct service *service, struct discover_found *found,
                                struct error *err)
{
	struct in_force before;
	int r = 0;

	service_in_force_read(service, &before);
	for (unsigned int e = 0; r == 0 && e < before.n; e++) {
		char address[ENDPOINT_TEXT_MAX], text[IN_FORCE_TEXT_MAX], note[256];

		if (before.state[e] != IN_FORCE_REPLACED)
			continue;
		snprintf(note, sizeof(note), "%s had %s, which is replaced",
		         endpoint_format(&service->steer.service->endpoints[e], address,
		                         sizeof(address)),
		         in_force_describe(&before, e, text));
		r = discover_add_note(found, note, err);
	}
	return r;
}

static void attach_note_restored(const char *line, void *data)
{
	struct error ignored;

	discover_add_note(data, line, &ignored);
}

/* Attaches the program to the groups, and counts the connections that are open already; counts HTTP
 * responses if that is requested. */
static int attach_start(struct service *service, const struct attach_request *request,
                        struct discover_found *found, struct error *err)
{
	struct in_force_restore_report report = {.say = attach_note_restored, .data = found};
	struct error ignored;
	int r = attach_note_replaced(service, found, err);

	if (r < 0)
		return r;
	__atomic_store_n(&service->steer.service->stage, RPD_STAGE_ATTACHING, __ATOMIC_RELEASE);
	r = attach_programs(service, found, err);
	if (r == 0)
		r = in_force_restore_all(service, &report, err);
	if (r >= 0)
		r = service_in_force_require_program(service, err);
	if (r == 0 && conn_adopt(service, &ignored) < 0)
		service->steer.control->n_unlisted = 1; /* or more */
	conns_enable(&service->conns, &service->steer);
	if (r == 0 && request->http)
		r = responses_begin(service, -1, err);
	if (r == 0)
		r = grace_prepare(&service->grace, err);
	if (r < 0)
		return r;
	/* The kernel's hash has given connections to the listeners since they were admitted. */
	if (steer_schedule(&service->steer)->policy == RPD_LEAST_CONNECTIONS)
		return conns_count_loads(&service->conns, &service->steer, &service->grace, err);
	return grace_wait(&service->grace, err);
}

/* Fills the claimed, empty folder. The stage is written last. */
static int attach_make(struct service *service, const struct attach_request *request,
                       struct discover_found *found, struct error *err)
{
	struct rpd_schedule draft;
	int r = attach_make_service(service, request, found, err);

	if (r < 0)
		return r;
	schedule_init(&draft);
	dealing_apply(&request->dealing, &draft);
	draft.flags = request->strict ? RPD_STRICT : 0;
	service_create_load_observers(service, request->max_conns);
	r = schedule_commit_check_dealing(service, &draft, err);
	if (r == 0)
		r = attach_fill_slots(service, request, found, &draft, err);
	if (r < 0)
		return r;
	schedule_build(&draft);
	steer_switch(&service->steer, &draft);
	steer_socks_note_no_idle(&service->steer);
	r = attach_start(service, request, found, err);
	if (r < 0)
		return r;
	__atomic_store_n(&service->steer.service->stage, RPD_STAGE_READY, __ATOMIC_RELEASE);
	events_note(&service->steer, RPD_EVENT_attached, RPD_NO_SLOT, 0, NULL);
	return 0;
}

int attach(const struct attach_request *request, struct service *ret, char **ret_notes,
           struct error *err)
{
	_cleanup_discover_found_ struct discover_found found = {};
	_cleanup_close_ int netns = -1;
	char name[RPD_LABEL_MAX];
	struct error ignored;
	int r = request->service ? service_name_check(request->service, err) : 0;

	if (r == 0)
		r = features_require(err);
	if (r == 0 && request->wanted.pid)
		r = proc_enter_netns(request->wanted.pid, err);
	if (r == 0)
		r = netns_open_current(&netns, err);
	if (r == 0)
		r = attach_check_run(&request->wanted, err);
	if (r == 0)
		r = attach_wait_for_workers(request, &found, err);
	if (r == 0)
		r = attach_check_size(&found, err);
	if (r < 0)
		return r;
	if (request->service)
		strcpy(name, request->service); /* its length was checked */
	else
		service_name_derive(found.roster.workers[0].owner.comm,
		                    found.roster.groups[0].endpoint.port, name);
	r = attach_check_free(&found, name, err);
	if (r == 0)
		r = attach_claim(ret, name, err);
	if (r < 0)
		return r;
	/* A service that made room may have been in another network namespace. */
	r = netns_return(netns, err);
	if (r == 0)
		r = attach_make(ret, request, &found, err);
	if (r < 0) {
		service_remove(ret, true, NULL, &ignored);
		return r;
	}
	*ret_notes = TAKE_PTR(found.notes);
	return 0;
}
