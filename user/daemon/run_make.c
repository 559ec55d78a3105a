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
#include "daemon/control.h"
#include "daemon/log.h"
#include "daemon/run.h"
#include "kern/cgroup.h"

#define RUN_DIR "/run/reuseportd"

void supervisor_path(const char *service, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, RUN_DIR "/%s%s%s", service, name ? "/" : "", name ? name : "");
}

/* --- the beginning */

static int make_run_dir(struct supervisor *sup, struct error *err)
{
	char out[PATH_MAX];

	supervisor_path(sup->name, NULL, sup->run_dir, sizeof(sup->run_dir));
	supervisor_path(sup->name, "out", out, sizeof(out));
	if ((mkdir(RUN_DIR, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(sup->run_dir, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(out, 0700) < 0 && errno != EEXIST))
		return error_set(err, -errno, "can't make the run directory %s: %s", sup->run_dir,
		                 strerror(errno));
	return 0;
}

static int make_cgroup(struct supervisor *sup, bool taken_over, struct error *err)
{
	const struct run_config *config = &sup->plan->config;
	uint16_t ports[RPD_ENDPOINT_MAX];
	int r = run_cgroup_open(sup, taken_over, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < config->n_listens; i++)
		ports[i] = config->listens[i].port;
	return hook_attach(sup->cgroup_fd, ports, config->n_listens, &sup->hook, err);
}

uid_t run_workers_uid(const struct run_config *config)
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
static size_t named_endpoints(const struct run_config *config,
                              struct rpd_endpoint ret[RPD_ENDPOINT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_listens; i++) {
		if (!config->listens[i].family)
			continue;
		ret[n] = config->listens[i];
		ret[n++].uid = run_workers_uid(config);
	}
	return n;
}

/* Makes the service, or takes it over. Returns 1 if it was taken over. */
static int make_service(struct supervisor *sup, struct error *err)
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
	        .n_endpoints = named_endpoints(config, endpoints),
	};
	_cleanup_service_ struct service service;
	int r, taken;

	service_init(&service);
	taken = service_create(&service, &plan, err);
	if (taken < 0)
		return taken;
	sup->made = !taken; /* what was there before us is not ours to remove */
	r = parking_open(&sup->parking, &service, err); /* connections wait there from the start */
	return r < 0 ? r : taken;
}

int run_make(struct supervisor *sup, struct error *err)
{
	const int taken = make_service(sup, err);
	int r = taken;

	if (r >= 0)
		r = make_run_dir(sup, err);
	if (r >= 0)
		r = make_cgroup(sup, taken, err);
	return r < 0 ? r : taken;
}

/* --- the end */

void run_remove_dir(const struct supervisor *sup)
{
	char out[PATH_MAX];

	supervisor_path(sup->name, "out", out, sizeof(out));
	run_command_forget(sup);
	rmdir(out);
	rmdir(sup->run_dir);
	rmdir(RUN_DIR);
}

/* The pins last: as long as they are there the next `stop`, or supervisor, knows that something may
 * be left. */
void run_remove(struct supervisor *sup)
{
	_cleanup_service_ struct service service;
	char path[PATH_MAX];
	struct error err = {};

	service_init(&service);
	parking_close(&sup->parking);
	if (sup->cgroup_fd >= 0)
		hook_detach(sup->cgroup_fd);
	run_cgroup_remove(sup);
	notify_free(sup->notify);
	sup->notify = NULL;
	if (sup->control)
		control_close(sup->control);
	supervisor_path(sup->name, "notify", path, sizeof(path));
	unlink(path);
	run_remove_dir(sup);
	if (service_open(&service, sup->name, &err) < 0 ||
	    service_remove(&service, false, &err) < 0)
		log_line("%s: %s", sup->name, err.text);
	control_free(sup->control, sup->status); /* who waits for the end is told when it is one */
	sup->control = NULL;
}
