/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether a load balancer may send new connections to a service. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "kern/in_force.h"
#include "service/observed.h"
#include "service/service.h"

struct service_ready {
	unsigned int live, wanted;   /* live: the workers that listen and are in the ring */
	char version[RPD_LABEL_MAX]; /* with the largest share; "" = none */
	/* The host or the service is draining: since when, by whatever began first; CLOCK_REALTIME,
	 * ns; 0 = it is not. */
	int64_t draining_since;
	/* "" = the steering program is in force on all endpoints and, of a service of `run`, the
	 * supervisor lives. */
	char fault[512];
};

/* @found: of service_in_force_read(). */
void service_ready_read(const struct service *service, const struct observed *observed,
                        const struct in_force *found, struct service_ready *ret);
