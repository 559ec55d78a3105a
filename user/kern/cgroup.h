/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cgroups (v2) of a service that is run: one for the service, and in it one for each worker
 * process tree, "SLOT-NUMBER". Who is in them, and their ids, outlive us: that is how a later
 * supervisor finds what an earlier one left.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/cgroup_service.h"
#include "kern/cgroup_limit.h"

/* Makes a child cgroup, which must not be there yet, and returns a directory descriptor of it, to
 * be born in (spawn.h). In it cgroups can be nested 32 deep and no deeper. */
int cgroup_make(const char *parent, const char *name, struct error *err);

/* Opens one that is there. -ENOENT. */
int cgroup_open(const char *parent, const char *name);

/* Its id, as bpf_get_current_cgroup_id() and sock_diag tell it: the inode number. */
uint64_t cgroup_id(int fd);

/* All processes in it and in cgroups below, ascending. The caller frees *ret (NULL if none). */
int cgroup_list_processes(int fd, uint32_t **ret, size_t *ret_n);

/*
 * A descriptor of its cgroup.events, which has EPOLLPRI when that changes; and whether it says that
 * a process is in it or below. The latter takes either descriptor; asked by that of cgroup.events,
 * it also takes the EPOLLPRI off. A zombie is in no cgroup, and a cgroup that was removed is empty.
 */
int cgroup_open_events(int fd);
bool cgroup_is_populated(int fd);

/* SIGKILL to every process in it and below, those included that fork at the same time. */
int cgroup_kill(int fd);

/* Memory of all its processes, bytes: where the controller is there what is charged to it, without
 * the cache of files that the kernel can take back; else the sum of their resident memory. */
uint64_t cgroup_measure_memory(int fd);

/* Names of the child cgroups, sorted with numbers in them as numbers. The caller frees *ret and
 * each. */
int cgroup_list_children(const char *parent, char ***ret, size_t *ret_n);

/* Removes a child cgroup, and those that its processes may have made in it; -EBUSY while processes
 * are in it. And the service's own, with "reuseportd" above it, once it is empty. */
int cgroup_remove(const char *parent, const char *name);
