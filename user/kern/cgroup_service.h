/* SPDX-License-Identifier: BSD-2-Clause */
/* The cgroup of a service: where it is, making and removing it. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

/*
 * Finds the path of the service's cgroup, and makes it if @create.
 *
 * If our own cgroup is a systemd unit's that was delegated to us (Delegate=yes), the service's
 * cgroup is reuseportd/SERVICE in the unit's; with @create we then move ourselves to the unit's
 * leaf "supervisor". Otherwise it is <cgroup2>/reuseportd/SERVICE. Without @create -ENOENT if it
 * doesn't exist.
 */
int cgroup_service_find(const char *service, bool create, char ret_path[PATH_MAX],
                        struct error *err);

/* Prepares for using the existing cgroup @path of a service, which may belong to another unit than
 * ours: if it is in our unit, moves us to the leaf as cgroup_service_find() does. -ENOENT if there
 * is no such cgroup. */
int cgroup_service_use(const char *path, struct error *err);

/* Removes the service's cgroup, and "reuseportd" above it if that is empty. -EBUSY while processes
 * are in it. */
int cgroup_service_remove(const char *path);
