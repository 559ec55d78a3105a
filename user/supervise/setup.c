/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/setup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"
#include "kern/guard.h"
#include "kern/hook.h"
#include "service/leftovers.h"
#include "service/drain_mark.h"
#include "service/run_dir.h"
#include "service/service_create.h"
#include "service/service_lock.h"
#include "service/service_remove.h"
#include "stream/log.h"
#include "supervise/control.h"
#include "supervise/deployment_note.h"
#include "supervise/notify.h"
#include "supervise/parking.h"
#include "supervise/persisted_command.h"
#include "supervise/plan.h"
#include "supervise/remake.h"
#include "supervise/response_counting.h"
#include "supervise/service_cgroup.h"
#include "supervise/steering_check.h"
#include "supervise/supervisor_request.h"

/* --- the beginning */

static int setup_make_run_dir(struct supervisor *sup, struct error *err)
{
	run_dir_path(sup->name, NULL, sup->run_dir, sizeof(sup->run_dir));
	return run_dir_make(sup->name, err);
}

static int setup_make_cgroup(struct supervisor *sup, bool taken_over, struct error *err)
{
	const struct run_config *config = &sup->plan->config;
	uint16_t ports[RPD_ENDPOINT_MAX];
	int r = service_cgroup_open(sup, taken_over, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < config->n_listens; i++)
		ports[i] = config->listens[i].port;
	r = hook_attach(sup->cgroup_fd, ports, config->n_listens, &sup->hook, err);
	return r < 0 ? r
	             : guard_attach(sup->cgroup_fd, ports, config->n_listens,
	                            sup->service.steer.service->guard_key, &sup->guard, err);
}

/* The endpoints that `listen` names with an address. Others are added when the first worker listens
 * on them. Returns how many. */
static size_t setup_list_endpoints(const struct run_config *config,
                                   struct rpd_endpoint ret[RPD_ENDPOINT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_listens; i++) {
		if (!config->listens[i].family)
			continue;
		ret[n] = config->listens[i];
		ret[n++].uid = plan_listener_uid(config);
	}
	return n;
}

/* Makes the service, or takes it over. It is locked afterwards. Returns an enum
 * service_create_outcome, or a negative errno. */
static int setup_make_service(struct supervisor *sup, struct error *err)
{
	const struct run_config *config = &sup->plan->config;
	struct rpd_endpoint endpoints[RPD_ENDPOINT_MAX];
	const struct service_plan plan = {
	        .name = sup->name,
	        .workers = config->workers,
	        .dealing = config->dealing,
	        .label = config->label,
	        .max_conns = config->no_count ? 0 : RPD_CONNS_DEFAULT,
	        .endpoints = endpoints,
	        .n_endpoints = setup_list_endpoints(config, endpoints),
	        .anywhere = sup->request->stop,
	};
	int r, taken = service_create(&sup->service, &plan, err);

	if (taken < 0 || taken == SERVICE_CREATE_LATER) {
		/* The name may be that of a service that another supervisor runs. */
		service_close(&sup->service);
		return taken;
	}
	sup->made = taken ==
	            SERVICE_CREATED; /* a service that was taken over is not removed on failure */
	r = parking_open(&sup->parking, &sup->service, err); /* connections may come from now on */
	return r < 0 ? r : taken;
}

/* A service that was taken over goes on in any case. If it counts responses, a deployment may be
 * judged by them: deployment_resume() stops that. */
static int setup_count_responses(struct supervisor *sup, bool taken_over, struct error *err)
{
	struct error why;
	int r = 0;

	if (sup->plan->config.http || !taken_over)
		r = response_counting_set(sup, sup->plan->config.http, &sup->plan->config.deploy,
		                          &why);
	if (r >= 0)
		return 0;
	if (!taken_over)
		return error_set(err, r, "%s", why.text);
	log_line("%s: %s", sup->name, why.text);
	return 0;
}

int setup_make(struct supervisor *sup, struct error *err)
{
	const int taken = setup_make_service(sup, err);
	int r = taken;

	if (taken == SERVICE_CREATE_LATER)
		return taken;
	if (r >= 0)
		r = setup_make_run_dir(sup, err);
	if (r >= 0)
		r = setup_make_cgroup(sup, taken == SERVICE_TAKEN_OVER, err);
	if (r >= 0 && !sup->request->stop)
		r = setup_count_responses(sup, taken == SERVICE_TAKEN_OVER, err);
	return r < 0 ? r : taken;
}

/* --- the end */

static void setup_remove_dir(const struct supervisor *sup)
{
	persisted_command_forget(sup);
	deployment_note_forget(sup);
	drain_mark_clear(sup->name, NULL);
	run_dir_remove(sup->name);
}

/* The pins go last: as long as they exist, the next `stop` or supervisor looks for what is left.
 * The maps are closed as well, because the process may go on for other services. */
void setup_remove(struct supervisor *sup)
{
	static const char *const sockets[] = {"control", "notify"};
	struct service *service = NULL;
	const char *left = NULL;
	uint32_t stuck = 0; /* a process that SIGKILL has not ended */
	char path[PATH_MAX];
	struct error err = {};
	int r;

	remake_free(sup->remake);
	sup->remake = NULL;
	parking_close(&sup->parking);
	steering_check_end(sup);
	if (!service_cgroup_remove(sup) && sup->cgroup_fd >= 0) {
		stuck = leftovers_find_process(sup->name);
		hook_detach(sup->cgroup_fd);
		guard_detach(sup->cgroup_fd);
	}
	notify_free(sup->notify);
	sup->notify = NULL;
	if (sup->control)
		control_close(sup->control);
	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		run_dir_path(sup->name, sockets[i], path, sizeof(path));
		unlink(path);
	}
	setup_remove_dir(sup);
	r = service_lock(&sup->service, &service, &err);
	if (r == 0)
		r = service_remove(service, false, NULL, &err);
	if (r == SERVICE_GROUPS_LEFT)
		log_line("%s: " SERVICE_REMOVE_LEFT, sup->name);
	if (r < 0) {
		error_add(&err, 0,
		          "\nthe workers are stopped, but the service's pins are left; `reuseportd "
		          "stop %s` removes them",
		          sup->name);
		log_line("%s: %s", sup->name, err.text);
		sup->status = EXIT_REFUSED;
		left = err.text;
	}
	if (stuck && !left) {
		error_set(&err, 0, "pid %u of a worker has not ended after SIGKILL", stuck);
		sup->status = EXIT_REFUSED;
		left = err.text;
	}
	service_close(&sup->service);
	/* Clients that wait for the end get their answer now. */
	control_free(sup->control, sup->status, left);
	sup->control = NULL;
}
