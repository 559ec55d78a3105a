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

/*
 * Path of the service's cgroup, which is made if @create. If our own
 * cgroup is a systemd unit's that was delegated to us (Delegate=yes), then it is in that, as
 * reuseportd/SERVICE; with @create we move ourselves to the unit's leaf "supervisor". Else it is
 * <cgroup2>/reuseportd/SERVICE. -ENOENT without @create if it isn't there.
 */
int cgroup_service(const char *service, bool create, char ret_path[PATH_MAX], struct error *err);

/* The same for one that is known to be at @path, be it of another unit than ours. -ENOENT if there
 * is none any more. */
int cgroup_service_known(const char *path, struct error *err);

/* Makes a child cgroup, which must not be there yet, and returns a directory descriptor of it, to
 * be born in (spawn.h). In it cgroups can be nested 32 deep and no deeper. */
int cgroup_make(const char *parent, const char *name, struct error *err);

/* Opens one that is there. -ENOENT. */
int cgroup_open(const char *parent, const char *name);

/* Its id, as bpf_get_current_cgroup_id() and sock_diag tell it: the inode number. */
uint64_t cgroup_id(int fd);

/* All processes in it and in cgroups below, ascending. The caller frees *ret (NULL if none). */
int cgroup_processes(int fd, uint32_t **ret, size_t *ret_n);

/*
 * A descriptor of its cgroup.events, which has EPOLLPRI when that changes; and whether it says that
 * a process is in it or below. The latter takes either descriptor; asked by that of cgroup.events,
 * it also takes the EPOLLPRI off. A zombie is in no cgroup, and a cgroup that was removed is empty.
 */
int cgroup_events(int fd);
bool cgroup_is_populated(int fd);

/* SIGKILL to every process in it and below, those included that fork at the same time. */
int cgroup_kill(int fd);

/* Memory of all its processes, bytes: where the controller is there what is charged to it, without
 * the cache of files that the kernel can take back; else the sum of their resident memory. */
uint64_t cgroup_memory(int fd);

/* Limits of a worker's cgroup, which is as cgroup_service() and cgroup_make() made it; 0 = none.
 * @memory in bytes; 1000 permille are one processor. -EOPNOTSUPP with @err naming the controller
 * that this host's cgroup2, or the unit, has not. */
int cgroup_limit(int fd, uint64_t memory, unsigned int cpu_permille, struct error *err);

/* Names of the child cgroups, sorted with numbers in them as numbers. The caller frees *ret and
 * each. */
int cgroup_children(const char *parent, char ***ret, size_t *ret_n);

/* Removes a child cgroup, and those that its processes may have made in it; -EBUSY while processes
 * are in it. And the service's own, with "reuseportd" above it, once it is empty. */
int cgroup_remove(const char *parent, const char *name);
int cgroup_remove_service(const char *path);
