/* SPDX-License-Identifier: BSD-2-Clause */
/* Cgroups (v2) by their ids, and which cgroup has others below it. */
#pragma once

#include <stdint.h>

/* Opens the cgroup of this id (cgroup_id()). Returns a directory descriptor, or a negative errno:
 * -ESTALE if there is none any more, -EPERM without CAP_DAC_READ_SEARCH. */
int cgroup_tree_open(uint64_t id);

/* Replaces cgroup *@fd, a directory descriptor, by the lowest cgroup that is it or above it and is
 * that of @id or above that. -1 counts as a cgroup below all others. Returns 0 or a negative errno;
 * *@fd is then unchanged. */
int cgroup_tree_join(int *fd, uint64_t id);
