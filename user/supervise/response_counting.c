/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/response_counting.h"

#include "service/response_stats.h"
#include "service/responses.h"
#include "service/service_lock.h"

int response_counting_set(struct supervisor *sup, bool wanted, struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	const int r = service_lock(&sup->service, &service, err);

	if (r < 0 || response_stats_are_counted(service) == wanted)
		return r;
	if (wanted)
		return responses_begin(service, sup->cgroup_fd, err);
	responses_end(service);
	return 0;
}
