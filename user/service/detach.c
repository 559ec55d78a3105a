/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/guard.h"
#include "kern/pins.h"
#include "kern/steer.h"
#include "service/run_dir.h"
#include "service/service_supervisor.h"
#include "service/unpinned.h"

/* Refuses a service that is run. */
static int detach_check_run(const struct service *service, bool force, struct error *err)
{
	const char *name = service->pins.service;
	const uint32_t supervisor = service_supervisor_pid(service);

	if (supervisor)
		return error_set(err, -EBUSY,
		                 "service '%s' is run by pid %u: `reuseportd stop %s` ends the "
		                 "service and its workers",
		                 name, supervisor, name);
	if (!force && service_is_run(service) && !service_is_half_made(service))
		return error_set(err, -EBUSY,
		                 "service '%s' belongs to `reuseportd run`: `reuseportd stop %s` "
		                 "ends the service and the workers that are left; `reuseportd "
		                 "detach %s --force` keeps the workers, but without a service",
		                 name, name, name);
	return 0;
}

/* Pins that can't be opened are removed only with --force. */
static int detach_broken_error(const struct service *service, int r, struct error *err)
{
	if (r == STEER_DAMAGED)
		return service_damaged_error(service, err);
	return error_add(err, r,
	                 "\n`reuseportd detach %s --force` removes the service nevertheless",
	                 service->pins.service);
}

void detach_free(struct detach_result *result)
{
	free(result->notes);
}

/* Removes the protection of the steering program, so that the workers' listeners can be attached to
 * another service. */
static void detach_guard(const char *name)
{
	char path[PATH_MAX];
	_cleanup_close_ int fd = -1;

	if (run_dir_cgroup(name, path))
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		guard_detach(fd);
}

/* Adds a line for each group where our program was not in force. */
static void detach_note_lost(const struct service *service, const struct in_force *found,
                             struct detach_result *ret)
{
	size_t size;
	FILE *out = in_force_find_lost(found) < 0 ? NULL : open_memstream(&ret->notes, &size);

	for (unsigned int e = 0; out && e < found->n; e++) {
		char address[ENDPOINT_TEXT_MAX], text[IN_FORCE_TEXT_MAX];

		if (!in_force_is_lost(found, e))
			continue;
		endpoint_format(&service->steer.service->endpoints[e], address, sizeof(address));
		if (found->state[e] == IN_FORCE_REPLACED)
			fprintf(out, "%s: %s had replaced the steering program, and stays\n",
			        address, in_force_describe(found, e, text));
		else if (found->state[e] == IN_FORCE_DETACHED)
			fprintf(out, "%s: the steering program had been detached already\n",
			        address);
		if (found->avoided[e])
			fprintf(out,
			        "%s: a listener with SO_REUSEPORT off may get all connections\n",
			        address);
		ret->replaced |= found->state[e] == IN_FORCE_REPLACED;
	}
	if (out)
		fclose(out);
}

int detach(const char *name, bool force, struct detach_result *ret, struct error *err)
{
	_cleanup_service_ struct service service;
	struct in_force found;
	char only[RPD_LABEL_MAX];
	int r = name ? 0 : service_only_name(only, err);

	service_init(&service);
	if (r < 0)
		return r;
	r = pins_open_locked(&service.pins, name ? name : only, false, err);
	if (r > 0)
		unpinned_explain(err);
	if (r != 0)
		return r < 0 ? r : -ENOENT;
	memcpy(ret->name, service.pins.service, sizeof(ret->name));
	r = steer_open_pins(&service.steer, &service.pins, err);
	if (r == 0)
		r = detach_check_run(&service, force, err);
	else if (force || service_is_half_made(&service))
		r = 0;
	else
		r = detach_broken_error(&service, r, err);
	if (r == 0)
		r = service_remove(&service, force, &found, err);
	if (r >= 0)
		detach_guard(ret->name);
	if (r >= 0 && service.steer.service)
		detach_note_lost(&service, &found, ret);
	return r;
}
