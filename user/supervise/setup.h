/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes and removes what a service has beside its workers: its pins, its run directory and its
 * cgroup. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "supervise/types.h"

/* Makes the service, or takes it over, with its run directory, and its cgroup with the listen hook.
 * The service is locked afterwards. Returns an enum service_create_outcome, or a negative errno
 * with
 * @err set. */
int setup_make(struct supervisor *sup, struct error *err);

/* Removes all that setup_make() has made. The service must have no worker. If its pins can't be
 * removed, logs why, and the service's status is EXIT_REFUSED. */
void setup_remove(struct supervisor *sup);
