/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The supervisor of one service: starts its workers, keeps them running, and replaces them without
 * losing a connection. It may be killed at any time: workers and steering go on, and the next
 * supervisor of the same service takes over what it finds.
 */
#pragma once

#include "base/error.h"
#include "supervise/supervisor_request.h"
#include "supervise/types.h"

/* Makes a supervisor, which starts nothing yet. @all and @request must outlive it. NULL: out of
 * memory. */
struct supervisor *supervisor_new(const struct supervisors *all,
                                  const struct supervisor_request *request);

enum supervisor_start_outcome {
	SUPERVISOR_STARTED,     /* and the service is locked */
	SUPERVISOR_START_LATER, /* not yet: SERVICE_CREATE_LATER of service/service_create.h */
};

/* Makes or takes over the service, and starts its workers. Returns an enum
 * supervisor_start_outcome, or a negative errno; sets @err unless the service is started. */
int supervisor_start(struct supervisor *sup, struct error *err);

/* The service could not be started, or another service of the process could not. If this supervisor
 * has made the service, kills the workers and removes it. Else leaves its workers and steering as
 * they are, for the next supervisor. */
void supervisor_undo(struct supervisor *sup);

/* All workers have gone: removes what is left of the service. */
void supervisor_end(struct supervisor *sup);

/* Frees the supervisor; its workers and the service are left alone. */
void supervisor_free(struct supervisor *sup);
