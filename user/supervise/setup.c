/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is of a service beside its workers: its pins, its folder and its cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "supervise/control.h"
#include "stream/log.h"
#include "supervise/types.h"
#include "kern/cgroup.h"
#include "service/run_dir.h"
#include "service/service_create.h"
#include "service/service_remove.h"

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
	return hook_attach(sup->cgroup_fd, ports, config->n_listens, &sup->hook, err);
}

uid_t setup_workers_uid(const struct run_config *config)
{
	const struct passwd *user;
	char *end;
	unsigned long number;

	if (!config->user || config->pass_sockets)
		return geteuid();
	user = getpwnam(config->user);
	if (user)
		return user->pw_uid;
	number = strtoul(config->user, &end, 10);
	return *end ? geteuid() : number;
}

/* The addresses that were named. Where workers that are free to choose listen is known when the
 * first of them does. Returns how many. */
static size_t setup_named_endpoints(const struct run_config *config,
                                    struct rpd_endpoint ret[RPD_ENDPOINT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_listens; i++) {
		if (!config->listens[i].family)
			continue;
		ret[n] = config->listens[i];
		ret[n++].uid = setup_workers_uid(config);
	}
	return n;
}

/* Makes the service, or takes it over. Returns 1 if it was taken over. */
static int setup_make_service(struct supervisor *sup, struct error *err)
{
	const struct run_config *config = &sup->plan->config;
	struct rpd_endpoint endpoints[RPD_ENDPOINT_MAX];
	const struct service_plan plan = {
	        .name = sup->name,
	        .workers = config->workers,
	        .policy = config->policy,
	        .label = config->label,
	        .max_conns = config->no_count ? 0 : RPD_CONNS_DEFAULT,
	        .endpoints = endpoints,
	        .n_endpoints = setup_named_endpoints(config, endpoints),
	};
	_cleanup_service_ struct service service;
	int r, taken;

	service_init(&service);
	taken = service_create(&service, &plan, err);
	if (taken < 0)
		return taken;
	sup->made = taken == SERVICE_CREATED; /* what was there before us is not ours to remove */
	r = parking_open(&sup->parking, &service, err); /* connections wait there from the start */
	return r < 0 ? r : taken;
}

int setup(struct supervisor *sup, struct error *err)
{
	const int taken = setup_make_service(sup, err);
	int r = taken;

	if (r >= 0)
		r = setup_make_run_dir(sup, err);
	if (r >= 0)
		r = setup_make_cgroup(sup, taken, err);
	return r < 0 ? r : taken;
}

/* --- the end */

void setup_remove_dir(const struct supervisor *sup)
{
	persisted_command_forget(sup);
	run_dir_remove(sup->name);
}

/* The pins last: as long as they are there the next `stop`, or supervisor, knows that something may
 * be left. */
void setup_remove(struct supervisor *sup)
{
	_cleanup_service_ struct service service;
	char path[PATH_MAX];
	struct error err = {};

	service_init(&service);
	parking_close(&sup->parking);
	if (sup->cgroup_fd >= 0)
		hook_detach(sup->cgroup_fd);
	service_cgroup_remove(sup);
	notify_free(sup->notify);
	sup->notify = NULL;
	if (sup->control)
		control_close(sup->control);
	run_dir_path(sup->name, "notify", path, sizeof(path));
	unlink(path);
	setup_remove_dir(sup);
	if (service_open(&service, sup->name, &err) < 0 ||
	    service_remove(&service, false, &err) < 0)
		log_line("%s: %s", sup->name, err.text);
	control_free(sup->control, sup->status); /* who waits for the end is told when it is one */
	sup->control = NULL;
}
