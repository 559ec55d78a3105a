/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes the service that `run` supervises: first the service without a worker, then the workers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/dealing.h"
#include "service/service.h"

struct service_plan {
	const char *name;
	unsigned int workers; /* 1..RPD_SLOT_MAX: the number of slots, empty at first */
	struct dealing dealing;
	const char *label;  /* the version of the workers */
	uint32_t max_conns; /* open connections that can be counted; 0 = count none */
	const struct rpd_endpoint *endpoints; /* known before a worker listens */
	size_t n_endpoints;
	bool anywhere; /* take over a service that is in another network namespace, too */
};

enum service_create_outcome {
	SERVICE_CREATED,
	SERVICE_TAKEN_OVER, /* the supervisor of this service had died; the service is unchanged */
	/* Nothing was done, for a reason that passes: another command has the lock
	 * (pins_set_waiting()), or the supervisor was killed and has not ended yet. */
	SERVICE_CREATE_LATER,
};

/*
 * Makes the service and the calling process its supervisor, or takes an existing service over. The
 * service is then open and locked. Returns an enum service_create_outcome, or a negative errno;
 * sets @err for SERVICE_CREATE_LATER and for an errno, also if another service has the name. If
 * the supervisor of a service has died in another network namespace, the service is made again here
 * if no process of it lives, otherwise refused (@plan->anywhere: taken over).
 */
int service_create(struct service *service, const struct service_plan *plan, struct error *err);

/* What `run` and `attach` write to a service that they make: the calling thread's network
 * namespace, the number of workers (0 = any), their version. Returns 0, or a negative errno with
 * @err set. */
int service_create_describe(struct service *service, unsigned int workers, const char *label,
                            struct error *err);

/* Loads the programs that observe the service: the iterator over its groups and, if @max_conns is
 * not 0, those that count its connections. If counting is not possible, the service remembers why.
 */
void service_create_load_observers(struct service *service, uint32_t max_conns);
