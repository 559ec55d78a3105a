/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/detach.h"

#include <errno.h>
#include <string.h>

#include "kern/pins.h"
#include "kern/steer.h"
#include "service/service_supervisor.h"

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

int detach(const char *name, bool force, char ret_name[RPD_LABEL_MAX], struct error *err)
{
	_cleanup_service_ struct service service;
	char only[RPD_LABEL_MAX];
	int r = name ? 0 : service_only_name(only, err);

	service_init(&service);
	if (r < 0)
		return r;
	r = pins_open_locked(&service.pins, name ? name : only, false, err);
	if (r != 0)
		return r < 0 ? r : -ENOENT;
	memcpy(ret_name, service.pins.service, RPD_LABEL_MAX);
	r = steer_open_pins(&service.steer, &service.pins, err);
	if (r == 0)
		r = detach_check_run(&service, force, err);
	else if (force || service_is_half_made(&service))
		r = 0;
	else
		r = detach_broken_error(&service, r, err);
	return r < 0 ? r : service_remove(&service, force, err);
}
