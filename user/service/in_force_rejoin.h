/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns SO_REUSEPORT of the listeners that avoid the steering program on again (bpf/group.bpf.c).
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "service/service.h"

/* What became of the listeners of an endpoint: of the last one, if there are several. */
struct in_force_rejoined {
	uint32_t pid; /* a process that has a listener open that is in order again; 0 = none */
	int left;     /* why one still avoids the program: -ESRCH = no process that has it open can
	                 be seen, or as for steer_borrowed_why(); 0 = none */
	uint32_t left_pid; /* a process that has that one open */
};

/*
 * Reads the groups, and examines the processes that have such listeners open, once. A call changes
 * at most as many listeners of a group as the service has listeners in it, and few in all. @ret: by
 * endpoint. Returns 0, or a negative errno with @err set.
 */
int in_force_rejoin(const struct service *service, struct in_force_rejoined ret[RPD_ENDPOINT_MAX],
                    struct error *err);
