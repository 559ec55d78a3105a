/* SPDX-License-Identifier: BSD-2-Clause */
/* The cgroup that holds a service's workers, each in a child of its own. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "supervise/types.h"

/* Opens the service's cgroup. @taken_over: opens the cgroup that the earlier supervisor made;
 * otherwise makes the cgroup, and kills the processes that are in it. Returns 0, or a negative
 * errno with @err set. */
int service_cgroup_open(struct supervisor *sup, bool taken_over, struct error *err);

/* Kills all processes in the cgroup, and waits for their end. */
void service_cgroup_clear(struct supervisor *sup);

/* Removes the cgroup, if no process is in it, and with it what is attached to it. Returns whether
 * it is gone. */
bool service_cgroup_remove(struct supervisor *sup);
