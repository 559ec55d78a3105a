/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds workers that have closed a listener and live on, or have opened one more on the same
 * address, and new ones that listen elsewhere than they must. The hook does not report all of this,
 * so a timer checks it once a second. */
#pragma once

#include "service/service.h"
#include "supervise/types.h"

/* Replaces a worker, as an unhealthy one, if its listener has been closed for some seconds and it
 * does not listen there again, or if it has had several listeners on an endpoint for some seconds.
 * The service must be locked. @rows: what groups_read() has read; NULL: unknown. */
void listener_check(struct supervisor *sup, struct service *service,
                    const struct rpd_group_member *rows, size_t n);
