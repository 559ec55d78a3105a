/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes and removes what a service has beside its workers: its pins, its run directory and its
 * cgroup. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "supervise/types.h"

/* Makes the service, or takes it over, with its run directory, and its cgroup with the listen hook.
 * @ret_taken_over: the service existed. Returns 0, or a negative errno with @err set. */
int setup_make(struct supervisor *sup, bool *ret_taken_over, struct error *err);

/* Removes all that setup_make() has made. The service must have no worker. */
void setup_remove(struct supervisor *sup);
