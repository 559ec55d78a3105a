/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/run_service.h"

#include <unistd.h>

#include "beds/run_worker.h"
#include "service/detach.h"
#include "service/service_create.h"
#include "service/service_endpoint.h"
#include "service/service_remove.h"
#include "service/service_supervisor.h"

struct service run_service;
struct parking run_parking;

int run_service_create_as(struct service *service, struct error *err)
{
	const struct service_plan plan = {.name = RUN_SERVICE_NAME,
	                                  .workers = RUN_SERVICE_SLOTS,
	                                  .label = RPD_FIRST_LABEL,
	                                  .max_conns = 1024};

	return service_create(service, &plan, err);
}

int run_service_create(struct error *err)
{
	return run_service_create_as(&run_service, err);
}

/* A supervised service cannot be detached, and this process is the supervisor: it removes the
 * service. */
static void run_service_end(void)
{
	_cleanup_detach_ struct detach_result result = {0};
	struct error err;

	parking_close(&run_parking);
	run_worker_kill_all();
	service_close(&run_service);
	if (service_open(&run_service, RUN_SERVICE_NAME, &err) == 0)
		service_remove(&run_service, true, NULL, &err);
	service_close(&run_service);
	detach(RUN_SERVICE_NAME, true, &result, &err); /* of damaged pins */
}

void run_service_begin(void)
{
	struct error err;

	service_init(&run_service);
	parking_init(&run_parking);
	check_at_end(run_service_end);
	CHECK_MSG(run_service_create(&err) == 0, "%s", err.text);
}

void run_service_reopen(void)
{
	struct error err;

	service_close(&run_service);
	CHECK_MSG(service_open(&run_service, RUN_SERVICE_NAME, &err) >= 0, "%s", err.text);
}

unsigned int run_service_add(int family, bool v6only, uint16_t port, uint32_t uid)
{
	const struct rpd_endpoint endpoint = {
	        .family = family, .v6only = v6only, .port = port, .uid = uid};
	struct error err;
	int r = service_endpoint_add(&run_service, &endpoint, &err);

	CHECK_MSG(r >= 0, "%s", err.text);
	return (unsigned int)r;
}

const struct rpd_endpoint *run_service_endpoint(unsigned int e)
{
	return &run_service.steer.service->endpoints[e];
}

__attribute__((noreturn)) static void run_service_supervise(bool parks)
{
	struct error err;

	if (service_open(&run_service, RUN_SERVICE_NAME, &err) < 0 ||
	    service_supervisor_become(&run_service, &err) < 0 ||
	    (parks && parking_open(&run_parking, &run_service, &err) < 0))
		_exit(1);
	service_close(&run_service);
	for (;;)
		pause();
}

pid_t run_service_other_supervisor(bool parks)
{
	pid_t pid;

	service_close(&run_service);
	pid = run_worker_fork(-1);
	if (pid == 0)
		run_service_supervise(parks);
	/* It parks before it gives up the lock. */
	do {
		run_service_reopen();
	} while (run_service.steer.service->supervisor_pid != (uint32_t)pid);
	return pid;
}
