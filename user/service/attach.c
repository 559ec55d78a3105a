/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/schedule_edit.h"
#include "core/endpoint.h"
#include "core/schedule.h"
#include "core/service_name.h"
#include "service/admit.h"
#include "service/conn_adopt.h"
#include "kern/events.h"
#include "kern/grace.h"
#include "kern/netns.h"
#include "kern/features.h"
#include "kern/proc.h"
#include "kern/steer_setup.h"

/* --wait: how often to ask for the listeners, and how often to look at the processes as well though
 * the listeners are the same: they may just not poll them yet. */
#define ATTACH_ASK_NS 100000000
#define ATTACH_LOOK_S 1

/* Waits until another look may find more than the last one, or until @deadline. */
static int attach_wait_for_news(const struct wanted *wanted, uint64_t seen, double deadline,
                                struct error *err)
{
	const struct timespec pause = {.tv_nsec = ATTACH_ASK_NS};
	double until = clock_s(CLOCK_MONOTONIC) + ATTACH_LOOK_S;
	uint64_t is = seen;
	int r = 0;

	while (r == 0 && is == seen && clock_s(CLOCK_MONOTONIC) < until &&
	       clock_s(CLOCK_MONOTONIC) < deadline) {
		nanosleep(&pause, NULL);
		r = discover_fingerprint(wanted, &is, err);
	}
	return r;
}

/* Looks for the workers until they are there or the time is over. */
static int attach_wait_for_workers(const struct attach_request *request, struct found *ret,
                                   struct error *err)
{
	double deadline = clock_s(CLOCK_MONOTONIC) + request->wait;
	struct error told = {};

	for (;;) {
		uint64_t seen;
		int r = discover_fingerprint(&request->wanted, &seen, err);

		if (r == 0)
			r = discover(&request->wanted, ret, err);
		if (r != -EAGAIN || clock_s(CLOCK_MONOTONIC) >= deadline)
			return r;
		if (strcmp(told.text, err->text) != 0)
			request->waiting(err->text);
		told = *err;
		r = attach_wait_for_news(&request->wanted, seen, deadline, err);
		if (r < 0)
			return r;
	}
}

/* Takes the name, unless a living service has it. One whose workers are all dead makes room. */
static int attach_claim(struct service *service, const char *name, struct error *err)
{
	int r;

	do {
		r = service_claim(service, name, err);
		if (r <= 0)
			return r;
		r = service_make_room(service, err);
	} while (r == 0);
	return r;
}

static bool attach_steers_one_of(const struct service *service, const struct found *found,
                                 uint64_t netns_cookie)
{
	const struct rpd_service *info = service->steer.service;

	if (info->netns_cookie != netns_cookie)
		return false;
	for (unsigned int e = 0; e < info->n_endpoints; e++)
		for (size_t g = 0; g < found->roster.n_groups; g++)
			if (endpoint_equal(&info->endpoints[e], &found->roster.groups[g].endpoint))
				return true;
	return false;
}

/* A killed command may have left the service half made, and our listeners in its slots: opening it
 * cleans that up, and may take us to its network namespace. */
static bool attach_is_steered_by(const char *name, const struct found *found, uint64_t netns_cookie,
                                 bool *ret_run)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	service_init(&service);
	if (service_peek(&service, name, &ignored) < 0) {
		service_close(&service);
		if (service_open(&service, name, &ignored) < 0)
			return false;
	}
	*ret_run = service_supervisor(&service) != 0;
	return attach_steers_one_of(&service, found, netns_cookie);
}

/* Refuses groups that another service has: a group has one program. Another attach may be quicker
 * after this; then the kernel refuses the second one, as a socket can be in one array only. */
static int attach_check_free(const struct found *found, const char *own, struct error *err)
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

static int attach_describe_service(struct service *service, const struct attach_request *request,
                                   struct error *err)
{
	struct rpd_service *info = service->steer.service;
	uint64_t cookie, ino;
	int r = netns_identify(&cookie, &ino, err);

	if (r < 0)
		return r;
	info->netns_cookie = cookie;
	info->netns_ino = ino;
	info->n_workers = request->wanted.workers;
	strcpy(info->label, request->label); /* its length was checked */
	info->attached_at = time(NULL);
	service->reachable = true;
	return 0;
}

static int attach_fill_slots(struct service *service, const struct attach_request *request,
                             const struct found *found, struct rpd_schedule *draft,
                             struct error *err)
{
	const struct roster *roster = &found->roster;
	int r = 0;

	for (size_t slot = 0; r == 0 && slot < roster->n_workers; slot++) {
		struct newcomer newcomer = {.owner = roster->workers[slot].owner};

		for (size_t g = 0; g < roster->n_groups; g++) {
			int32_t at = roster->workers[slot].listeners[g];

			if (at < 0)
				continue;
			newcomer.listeners[g] = &found->listeners[at];
			newcomer.fds[g] = found->fds[at];
		}
		r = schedule_edit_fill_slot(draft, slot, request->label, err);
		if (r == 0)
			r = admit(service, slot, &newcomer, draft->slots[slot].version, err);
	}
	return r;
}

static int attach_groups(struct service *service, struct error *err)
{
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		_cleanup_close_ int fd = service_borrow_member(service, e, err);
		int r = fd < 0 ? fd : steer_attach(&service->steer, e, fd);

		if (fd < 0)
			return r;
		if (r < 0)
			return error_set(err, r, "can't attach the steering program: %s",
			                 strerror(-r));
	}
	return 0;
}

/* Fills the claimed, empty folder. The stage is the last thing written. */
static int attach_make(struct service *service, const struct attach_request *request,
                       const struct found *found, struct error *err)
{
	_cleanup_grace_ struct grace grace = GRACE_NONE;
	struct error ignored;
	struct rpd_schedule draft;
	int r = 0;

	if (found->roster.n_groups > RPD_ENDPOINT_MAX)
		return error_set(err, -E2BIG, "a service has at most %d endpoints",
		                 RPD_ENDPOINT_MAX);
	schedule_init(&draft);
	draft.policy = request->policy;
	draft.flags = request->strict ? RPD_STRICT : 0;
	for (size_t g = 0; r >= 0 && g < found->roster.n_groups; g++)
		r = steer_setup_add_endpoint(&service->steer, &service->pins,
		                             &found->roster.groups[g].endpoint, request->max_conns,
		                             err);
	if (r >= 0)
		r = attach_describe_service(service, request, err);
	if (r < 0)
		return r;
	if (request->max_conns)
		conns_attach(&service->conns, &service->steer, &service->pins);
	else
		conns_open(&service->conns, &service->steer, &service->pins); /* says why not */
	r = attach_fill_slots(service, request, found, &draft, err);
	if (r < 0)
		return r;
	schedule_build(&draft);
	steer_switch(&service->steer, &draft);
	__atomic_store_n(&service->steer.service->stage, RPD_STAGE_ATTACHING, __ATOMIC_RELEASE);
	r = attach_groups(service, err);
	if (r == 0 && conn_adopt(service, &ignored) < 0)
		service->steer.control->n_unlisted = 1; /* or more */
	conns_enable(&service->conns, &service->steer);
	if (r == 0)
		r = grace_prepare(&grace, err);
	if (r == 0)
		r = grace_wait(&grace, err);
	if (r == 0)
		__atomic_store_n(&service->steer.service->stage, RPD_STAGE_READY, __ATOMIC_RELEASE);
	if (r == 0)
		events_note(&service->steer, RPD_EVENT_attached, RPD_NO_SLOT, 0, NULL);
	return r;
}

int attach(const struct attach_request *request, struct service *ret, char **ret_notes,
           struct error *err)
{
	_cleanup_found_ struct found found = {};
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
		r = attach_wait_for_workers(request, &found, err);
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
	/* What made room may have been elsewhere. */
	r = netns_return(netns, err);
	if (r == 0)
		r = attach_make(ret, request, &found, err);
	if (r < 0) {
		service_remove(ret, true, &ignored);
		return r;
	}
	*ret_notes = TAKE_PTR(found.notes);
	return 0;
}
