/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_create.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/schedule.h"
#include "kern/conns.h"
#include "kern/events.h"
#include "kern/features.h"
#include "kern/groups.h"
#include "kern/netns.h"
#include "kern/proc.h"
#include "kern/steer_setup.h"
#include "service/drain_mark.h"
#include "service/leftovers.h"
#include "service/schedule_commit.h"
#include "service/service_endpoint.h"
#include "service/service_remove.h"
#include "service/service_supervisor.h"

int service_create_describe(struct service *service, unsigned int workers, const char *label,
                            struct error *err)
{
	struct rpd_service *info = service->steer.service;
	uint64_t cookie, ino;
	int r = netns_identify(&cookie, &ino, err);

	if (r < 0)
		return r;
	info->netns_cookie = cookie;
	info->netns_ino = ino;
	info->n_workers = workers;
	strcpy(info->label, label); /* its length was checked */
	info->attached_at = time(NULL);
	service->reachable = true;
	drain_mark_clear(service->pins.service, NULL); /* of an owner that was killed */
	return 0;
}

void service_create_load_observers(struct service *service, uint32_t max_conns)
{
	groups_attach(&service->groups, &service->steer, &service->pins);
	if (max_conns)
		conns_attach(&service->conns, &service->steer, &service->pins);
	else
		conns_open(&service->conns, &service->steer, &service->pins); /* notes why not */
}

static int service_create_add_endpoints(struct service *service, const struct service_plan *plan,
                                        struct error *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < plan->n_endpoints; i++)
		r = service_endpoint_add(service, &plan->endpoints[i], err);
	return r < 0 ? r : 0;
}

static void service_create_set_schedule(struct service *service, const struct service_plan *plan)
{
	struct rpd_schedule draft;

	schedule_init(&draft);
	dealing_apply(&plan->dealing, &draft);
	draft.flags = RPD_STRICT;
	draft.n_slots = plan->workers;
	schedule_build(&draft);
	steer_switch(&service->steer, &draft);
}

/* Fills the claimed, empty folder. The stage is written last. */
static int service_create_make(struct service *service, const struct service_plan *plan,
                               struct error *err)
{
	int r = steer_setup_maps(&service->steer, &service->pins, plan->max_conns, err);

	if (r == 0)
		r = service_create_describe(service, plan->workers, plan->label, err);
	if (r < 0)
		return r;
	service->steer.service->flags = RPD_SERVICE_RUN;
	if (getrandom(&service->steer.service->guard_key, sizeof(uint64_t), 0) < 0)
		return error_set(err, -errno, "can't get a random number: %s", strerror(errno));
	r = service_supervisor_become(service, err);
	if (r == 0)
		r = service_create_add_endpoints(service, plan, err);
	if (r < 0)
		return r;
	service_create_set_schedule(service, plan);
	service_create_load_observers(service, plan->max_conns);
	r = schedule_commit_check_dealing(service, steer_schedule(&service->steer), err);
	if (r < 0)
		return r;
	conns_enable(&service->conns, &service->steer);
	__atomic_store_n(&service->steer.service->stage, RPD_STAGE_READY, __ATOMIC_RELEASE);
	events_note(&service->steer, RPD_EVENT_attached, RPD_NO_SLOT, 0, NULL);
	return 0;
}

/* Whether the calling process may take the service over: its supervisor has died, or is this
 * process itself, after a re-exec. */
static bool service_create_can_take_over(const struct service *service)
{
	uint32_t supervisor = service_supervisor_pid(service);

	return service_is_run(service) && (!supervisor || supervisor == (uint32_t)getpid());
}

static int service_create_elsewhere_error(const struct service *service, uint32_t worker,
                                          struct error *err)
{
	const char *name = service->pins.service;

	error_set(
	        err, -EEXIST,
	        "service '%s' is in another network namespace, and its workers still live there; ",
	        name);
	if (worker)
		error_add(err, 0,
		          "`nsenter --net=/proc/%u/ns/net reuseportd run ...` with the same "
		          "command takes them over, ",
		          worker);
	return error_add(err, -EEXIST,
	                 "`reuseportd stop %s` ends them; for another service give another name "
	                 "with --service",
	                 name);
}

/* The supervisor of this service has died, and the service is of another network namespace than
 * @home: its workers would be started there. Removes it if nothing of it lives, and returns to
 * @home. */
static int service_create_replace_elsewhere(struct service *service, int home, struct error *err)
{
	struct error ignored;
	uint32_t worker;
	int r;

	if (leftovers_live(&service->steer, service->pins.service, &worker)) {
		r = service_create_elsewhere_error(service, worker, err);
		netns_return(home, &ignored);
		return r;
	}
	r = service_remove(service, false, NULL, err);
	service_close(service);
	return r < 0 ? r : netns_return(home, err);
}

/* Takes the name. @here: the cookie of the network namespace that @home is open on. Returns
 * SERVICE_CREATED if the service is to be made now, another outcome, or a negative errno. */
static int service_create_claim(struct service *service, const struct service_plan *plan,
                                uint64_t here, int home, struct error *err)
{
	const char *name = plan->name;

	for (;;) {
		uint32_t supervisor;
		int r = service_claim(service, name, err);

		if (r == SERVICE_NONE)
			return SERVICE_CREATED;
		if (r != SERVICE_OPEN)
			return r == SERVICE_LOCKED ? SERVICE_CREATE_LATER : r;
		supervisor = service_supervisor_pid(service);
		if (supervisor && proc_is_ending(supervisor)) {
			service_close(service); /* it may need the lock to end */
			error_set(err, 0, "the supervisor of service '%s' (pid %u) is ending", name,
			          supervisor);
			return SERVICE_CREATE_LATER;
		}
		if (service_create_can_take_over(service) && !supervisor && !plan->anywhere &&
		    service->steer.service->netns_cookie != here) {
			r = service_create_replace_elsewhere(service, home, err);
			if (r < 0)
				return r;
			continue;
		}
		if (service_create_can_take_over(service)) {
			r = service_supervisor_become(service, err);
			return r < 0 ? r : SERVICE_TAKEN_OVER;
		}
		r = service_make_room(service, err);
		if (r < 0)
			return r;
	}
}

int service_create(struct service *service, const struct service_plan *plan, struct error *err)
{
	_cleanup_close_ int home = -1;
	uint64_t here = 0, ino;
	struct error ignored;
	int r = features_require(err);

	if (r == 0)
		r = netns_identify(&here, &ino, err);
	if (r == 0)
		r = netns_open_current(&home, err);
	if (r == 0)
		r = service_create_claim(service, plan, here, home, err);
	if (r == SERVICE_CREATED) /* a service that made room may have been elsewhere */
		r = netns_return(home, err);
	if (r != SERVICE_CREATED)
		return r;
	r = service_create_make(service, plan, err);
	if (r < 0)
		service_remove(service, true, NULL, &ignored);
	return r;
}
