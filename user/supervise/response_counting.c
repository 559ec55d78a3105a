/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/response_counting.h"

#include <string.h>

#include "kern/steer_ignored.h"
#include "service/response_stats.h"
#include "service/responses.h"
#include "service/service_lock.h"

int response_counting_set(struct supervisor *sup, bool wanted,
                          const struct deploy_settings *settings, struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	int r = service_lock(&sup->service, &service, err);

	if (r < 0)
		return r;
	r = steer_ignored_set(&service->steer, &settings->ignore);
	if (r < 0)
		return error_set(err, r, "can't leave out the clients to ignore: %s", strerror(-r));
	if (response_stats_are_counted(service) == wanted)
		return 0;
	if (wanted)
		return responses_begin(service, sup->cgroup_fd, err);
	responses_end(service);
	return 0;
}
