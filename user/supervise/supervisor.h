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

/* Makes or takes over the service, and starts its workers. Returns 0, or a negative errno with @err
 * set. */
int supervisor_start(struct supervisor *sup, struct error *err);

/* Frees the supervisor; its workers and the service are left alone. */
void supervisor_free(struct supervisor *sup);
