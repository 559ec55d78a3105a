/* SPDX-License-Identifier: BSD-2-Clause */
/* The cgroup of a service. It is removed at the end of its scope, after all processes in it were
 * killed. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"

struct cgroup_bed {
	char path[PATH_MAX];
	int fd; /* -1 = not made */
};

/* Makes the cgroup of service "check-PID". Fails the case if that is not possible. */
struct cgroup_bed cgroup_bed_make(void);

void cgroup_bed_end(struct cgroup_bed *bed);

#define _cleanup_cgroup_bed_ _cleanup_(cgroup_bed_end)

/* Makes a child cgroup. Returns its descriptor, which the caller closes; fails the case otherwise.
 */
int cgroup_bed_worker(const struct cgroup_bed *bed, const char *name);

/* Moves this process into cgroup @fd, which then owns the sockets that it opens. */
bool cgroup_bed_enter(int fd);
