/* SPDX-License-Identifier: BSD-2-Clause */
/* What a service has beside its workers: its pins, its run directory and its cgroup. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "supervise/types.h"

/* Makes the service, or takes it over, with its run directory, and its cgroup with the listen hook.
 * @ret_taken_over: whether it was there. */
int setup_make(struct supervisor *sup, bool *ret_taken_over, struct error *err);

/* Removes all of it; its workers have gone. */
void setup_remove(struct supervisor *sup);

/* Removes the run directory, if it is empty. */
void setup_remove_dir(const struct supervisor *sup);
