/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_supervisor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/process.h"
#include "kern/proc.h"
#include "kern/steer_probes.h"

int service_supervisor_open(const struct service *service)
{
	const struct rpd_service *info = service->steer.service;

	if (!service_is_run(service) || !info->supervisor_pid)
		return -ESRCH;
	return proc_open_pidfd((struct process_id){info->supervisor_pid, info->supervisor_start});
}

uint32_t service_supervisor_pid(const struct service *service)
{
	_cleanup_close_ int fd = service_supervisor_open(service);

	return fd < 0 ? 0 : service->steer.service->supervisor_pid;
}

int service_supervisor_become(struct service *service, struct error *err)
{
	struct rpd_service *info = service->steer.service;
	struct process us;
	int r = proc_identify(getpid(), &us);

	if (r < 0)
		return error_set(err, r, "can't read the start time of this process in /proc: %s",
		                 strerror(-r));
	steer_probes_clear(&service->steer);
	/* A process that reads in between, without the lock, sees no supervisor. With the pid last
	 * it never sees the pid of one process with the start time of another. */
	info->supervisor_pid = 0;
	info->supervisor_start = us.id.start_time;
	__atomic_store_n(&info->supervisor_pid, us.id.pid, __ATOMIC_RELEASE);
	return 0;
}

void service_supervisor_resign(struct service *service)
{
	struct rpd_service *info = service->steer.service;

	if (service_is_open(service) && service_is_run(service) &&
	    info->supervisor_pid == (uint32_t)getpid())
		__atomic_store_n(&info->supervisor_pid, 0, __ATOMIC_RELEASE);
}
