/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds workers that have closed a listener and live on, and new ones that listen elsewhere than
 * they must. The hook reports neither, so a timer checks it once a second. */
#pragma once

#include "service/service.h"
#include "supervise/types.h"

/* Replaces a worker, as an unhealthy one, if its listener has been closed for some seconds and it
 * does not listen there again. The service must be locked. @rows: what groups_read() has read;
 * NULL: unknown. */
void listener_check(struct supervisor *sup, struct service *service,
                    const struct rpd_group_member *rows, size_t n);
