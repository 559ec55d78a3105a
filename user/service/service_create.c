/* SPDX-License-Identifier: BSD-2-Clause */
/* The services that are run: made before there is anybody in them, and kept by a supervisor. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "core/schedule.h"
#include "service/service.h"
#include "kern/events.h"
#include "kern/netns.h"
#include "kern/features.h"
#include "kern/proc.h"
#include "kern/steer_setup.h"
#include "kern/steer_probes.h"

bool service_is_run(const struct service *service)
{
	return service->steer.service->flags & RPD_SERVICE_RUN;
}

int service_open_supervisor(const struct service *service)
{
	const struct rpd_service *info = service->steer.service;

	if (!service_is_run(service) || !info->supervisor_pid)
		return -ESRCH;
	return proc_open_pidfd(info->supervisor_pid, info->supervisor_start);
}

uint32_t service_supervisor(const struct service *service)
{
	_cleanup_close_ int fd = service_open_supervisor(service);

	return fd < 0 ? 0 : service->steer.service->supervisor_pid;
}

int service_supervise(struct service *service, struct error *err)
{
	struct rpd_service *info = service->steer.service;
	char comm[RPD_COMM_MAX];
	uint64_t start_time;
	uint32_t ppid;
	int r = proc_identify(getpid(), &start_time, &ppid, comm);

	if (r < 0)
		return error_set(err, r, "can't read our own start time in /proc: %s",
		                 strerror(-r));
	steer_probes_clear(&service->steer);
	/* Who looks without the lock in between sees a supervisor that is gone, not another one. */
	info->supervisor_pid = 0;
	info->supervisor_start = start_time;
	__atomic_store_n(&info->supervisor_pid, (uint32_t)getpid(), __ATOMIC_RELEASE);
	return 0;
}

static int service_create_describe(struct service *service, const struct service_plan *plan,
                                   struct error *err)
{
	struct rpd_service *info = service->steer.service;
	uint64_t cookie, ino;
	int r = netns_identify(&cookie, &ino, err);

	if (r < 0)
		return r;
	info->flags = RPD_SERVICE_RUN;
	info->netns_cookie = cookie;
	info->netns_ino = ino;
	info->n_workers = plan->workers;
	strcpy(info->label, plan->label); /* its length was checked */
	info->attached_at = time(NULL);
	service->reachable = true;
	return service_supervise(service, err);
}

/* Fills the claimed, empty folder. The stage is the last thing written. */
static int service_create_make(struct service *service, const struct service_plan *plan,
                               struct error *err)
{
	struct rpd_schedule draft;
	int r = steer_setup_maps(&service->steer, &service->pins, plan->max_conns, err);

	if (r == 0)
		r = service_create_describe(service, plan, err);
	for (size_t i = 0; r >= 0 && i < plan->n_endpoints; i++)
		r = service_add_endpoint(service, &plan->endpoints[i], err);
	if (r < 0)
		return r;
	schedule_init(&draft);
	draft.policy = plan->policy;
	draft.flags = RPD_STRICT;
	draft.n_slots = plan->workers;
	schedule_build(&draft);
	steer_switch(&service->steer, &draft);
	if (plan->max_conns)
		conns_attach(&service->conns, &service->steer, &service->pins);
	else
		conns_open(&service->conns, &service->steer, &service->pins); /* says why not */
	conns_enable(&service->conns, &service->steer);
	__atomic_store_n(&service->steer.service->stage, RPD_STAGE_READY, __ATOMIC_RELEASE);
	events_note(&service->steer, RPD_EVENT_attached, RPD_NO_SLOT, 0, NULL);
	return 0;
}

/* Whether the service is one whose supervisor has died, and that we may go on with; we may be that
 * supervisor, if we have just executed ourselves anew. */
static bool service_create_is_left_to_us(const struct service *service)
{
	uint32_t supervisor = service_supervisor(service);

	return service_is_run(service) && (!supervisor || supervisor == (uint32_t)getpid());
}

#define ENDING_MS 30000

/* A supervisor that was killed may take a while to be gone, and then is no reason to be refused. */
static void service_create_wait_for_ending(const struct service *service)
{
	_cleanup_close_ int fd = service_open_supervisor(service);
	struct pollfd gone = {.fd = fd, .events = POLLIN};

	if (fd >= 0 && proc_is_ending(service->steer.service->supervisor_pid))
		poll(&gone, 1, ENDING_MS);
}

int service_create(struct service *service, const struct service_plan *plan, struct error *err)
{
	struct error ignored;
	int r = features_require(err);

	while (r == 0) {
		r = service_claim(service, plan->name, err);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		service_create_wait_for_ending(service);
		if (service_create_is_left_to_us(service)) {
			r = service_supervise(service, err);
			return r < 0 ? r : 1;
		}
		r = service_make_room(service, err);
	}
	if (r == 0)
		r = service_create_make(service, plan, err);
	if (r < 0 && service->pins.fd >= 0 && service->steer.service &&
	    service->steer.service->stage != RPD_STAGE_READY)
		service_remove(service, true, &ignored);
	return r;
}

static bool service_create_has_endpoint(const struct service *service,
                                        const struct rpd_endpoint *endpoint)
{
	const struct rpd_service *info = service->steer.service;

	for (unsigned int e = 0; e < info->n_endpoints; e++)
		if (endpoint_equal(&info->endpoints[e], endpoint))
			return true;
	return false;
}

/* A group has one program: with ours the other service's workers would get no connection any more.
 * Only a look, as two that locked each other's services would wait for ever; what is begun at the
 * same moment the kernel refuses at the first listener that is in both. */
static int service_create_check_free(const struct service *service,
                                     const struct rpd_endpoint *endpoint, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	char text[ENDPOINT_TEXT_MAX];
	size_t n = 0;
	int r = pins_list_services(&names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		_cleanup_service_ struct service other;
		struct error ignored;

		service_init(&other);
		if (strcmp(names[i], service->pins.service) == 0 ||
		    service_peek(&other, names[i], &ignored) < 0 ||
		    other.steer.service->netns_cookie != service->steer.service->netns_cookie ||
		    !service_create_has_endpoint(&other, endpoint))
			continue;
		return error_set(err, -EADDRINUSE,
		                 "%s belongs to service '%s' already; `reuseportd status %s` shows "
		                 "it, `reuseportd %s %s` ends it",
		                 endpoint_format(endpoint, text, sizeof(text)), names[i], names[i],
		                 service_is_run(&other) ? "stop" : "detach", names[i]);
	}
	return r;
}

int service_add_endpoint(struct service *service, const struct rpd_endpoint *endpoint,
                         struct error *err)
{
	int r = service_create_check_free(service, endpoint, err);

	return r < 0 ? r
	             : steer_setup_add_endpoint(&service->steer, &service->pins, endpoint, 0, err);
}
