/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of a worker's memory and processor time, by its cgroup. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Sets the limits of the worker's cgroup @fd, which cgroup_make() has made in the service's cgroup.
 * @memory: bytes; @cpu_permille: 1000 are one processor; 0 = leave this limit as it is, at first
 * none. Turns the controllers on in the cgroups above. -EOPNOTSUPP if this host's cgroup2, or the
 * systemd unit, lacks a controller; @err names it.
 */
int cgroup_limit_set(int fd, uint64_t memory, unsigned int cpu_permille, struct error *err);

/* Whether the service's cgroup @fd gives its workers the controller "memory" or "cpu". Otherwise
 * they have no limit, even if one was set before. */
bool cgroup_limit_is_on(int fd, const char *controller);
