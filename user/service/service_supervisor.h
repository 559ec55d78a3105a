/* SPDX-License-Identifier: BSD-2-Clause */
/* The supervisor of a service that `run` has made: which process it is, and whether it lives. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "service/service.h"

/* The pid of the service's supervisor; 0 if the supervisor has died, or there never was one. */
uint32_t service_supervisor_pid(const struct service *service);

/* Opens a pidfd of the supervisor. Returns the descriptor, which the caller closes; -ESRCH if no
 * supervisor lives. */
int service_supervisor_open(const struct service *service);

/* Makes the calling process the supervisor, and ends the probes of the former one. Returns 0, or a
 * negative errno with @err set. */
int service_supervisor_become(struct service *service, struct error *err);

/* For a supervisor that leaves the service, but may live on: from then on the service has no
 * supervisor. Nothing happens if another process is the supervisor, or the service is not open. */
void service_supervisor_resign(struct service *service);
