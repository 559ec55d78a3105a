/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_in_force.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/groups.h"
#include "kern/program.h"
#include "service/service_supervisor.h"

void service_in_force_read(const struct service *service, struct in_force *ret)
{
	if (service->reachable)
		in_force_read(&service->groups, &service->steer, ret);
	else
		*ret = (struct in_force){.n = service->steer.service->n_endpoints};
}

static bool service_in_force_is_outside(const struct in_force *found)
{
	for (unsigned int e = 0; found && e < found->n; e++)
		if (found->outside[e])
			return true;
	return false;
}

const char *service_in_force_remedy(const struct service *service, const struct in_force *found,
                                    char *buf, size_t size)
{
	const struct rpd_service *info = service->steer.service;
	const uint32_t supervisor = service_supervisor_pid(service);
	char workers[16];

	snprintf(workers, sizeof(workers), info->n_workers ? "%u" : "any", info->n_workers);
	if (service_in_force_is_outside(found))
		snprintf(buf, size,
		         "it is a foreign listener (`reuseportd status %s`) outside the workers' "
		         "group: end its process",
		         service->pins.service);
	else if (supervisor)
		snprintf(buf, size, "its supervisor (pid %u) attaches ours again within seconds",
		         supervisor);
	else if (service_is_run(service))
		snprintf(buf, size,
		         "the same `reuseportd run` command again takes the workers over and "
		         "attaches ours again");
	else
		snprintf(buf, size,
		         "`reuseportd attach --service %s --port %u --workers %s` attaches ours "
		         "again",
		         service->pins.service, info->endpoints[0].port, workers);
	return buf;
}

/* @by: what selects the worker. */
static int service_in_force_lost_error(const struct service *service, const struct in_force *found,
                                       unsigned int endpoint, const char *by, struct error *err)
{
	char address[ENDPOINT_TEXT_MAX], remedy[256];

	return error_set(err, -EBUSY,
	                 "the steering program is not in force on %s: %s selects the worker there, "
	                 "so weights, shares and drains have no effect\n%s",
	                 endpoint_format(&service->steer.service->endpoints[endpoint], address,
	                                 sizeof(address)),
	                 by, service_in_force_remedy(service, found, remedy, sizeof(remedy)));
}

static int service_in_force_require_by(const struct service *service,
                                       bool (*is_lost)(const struct in_force *it,
                                                       unsigned int endpoint),
                                       struct error *err)
{
	char text[IN_FORCE_TEXT_MAX];
	struct in_force found;

	service_in_force_read(service, &found);
	for (unsigned int e = 0; e < found.n; e++)
		if (is_lost(&found, e))
			return service_in_force_lost_error(service, &found, e,
			                                   in_force_describe(&found, e, text), err);
	return 0;
}

int service_in_force_require(const struct service *service, struct error *err)
{
	return service_in_force_require_by(service, in_force_is_lost, err);
}

int service_in_force_require_program(const struct service *service, struct error *err)
{
	return service_in_force_require_by(service, in_force_lacks_program, err);
}

int service_in_force_check_member(const struct service *service, const struct rpd_group_member *row,
                                  struct error *err)
{
	char text[IN_FORCE_TEXT_MAX];
	uint32_t ours;

	/* An endpoint that was removed meanwhile gets no connections from the schedule. */
	if (!steer_has_endpoint(&service->steer, row->endpoint))
		return 0;
	ours = program_id(service->steer.endpoints[row->endpoint].prog_fd);
	if (row->program == ours && !row->avoids)
		return 0;
	return service_in_force_lost_error(service, NULL, row->endpoint,
	                                   in_force_describe_row(row, ours, text), err);
}

int service_in_force_check_listeners(const struct service *service, const uint64_t *cookies,
                                     size_t n, struct error *err)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	size_t n_rows = 0;
	int r = service->reachable ? groups_read(&service->groups, &rows, &n_rows, err)
	                           : error_set(err, -ENOENT,
	                                       "the workers' network namespace is gone, or can't "
	                                       "be entered");

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct rpd_group_member *row = groups_find(rows, n_rows, cookies[i]);

		if (row)
			r = service_in_force_check_member(service, row, err);
	}
	return r;
}
