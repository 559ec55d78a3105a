/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cgroups (v2) of the workers of `run`: a cgroup "SLOT-NUMBER" for the processes of each
 * worker, in the cgroup of the service (cgroup_service.h). The cgroups, their ids and their
 * processes outlive the supervisor: so the next supervisor finds the workers.
 *
 * @fd is a directory descriptor of a cgroup. Functions that return int return a negative errno on
 * failure.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Makes a child cgroup, which must not exist yet. Returns a directory descriptor, for
 * spawn_start(). Cgroups can be nested 32 deep in it. */
int cgroup_make(const char *parent, const char *name, struct error *err);

/* Opens an existing child cgroup; returns a directory descriptor. -ENOENT if there is none. */
int cgroup_open(const char *parent, const char *name);

/* Returns the cgroup's id, as in bpf_get_current_cgroup_id() and sock_diag: the inode number. */
uint64_t cgroup_id(int fd);

/* Lists the pids of all processes in the cgroup and below, ascending. The caller frees *ret (NULL
 * if there are none). */
int cgroup_list_processes(int fd, uint32_t **ret, size_t *ret_n);

/* Reads the path of the cgroup of process @pid, below the mount point: "/" or "/a/b". -ESRCH if the
 * process is gone, -ENAMETOOLONG if the path does not fit. One look-up, which scans nothing. */
int cgroup_of_process(uint32_t pid, char *buf, size_t size);

/* Opens cgroup.events, which has EPOLLPRI when it changes. Returns the descriptor. */
int cgroup_open_events(int fd);

/* Whether a process is in the cgroup or below. @fd may also be a descriptor of cgroup.events; the
 * call then clears its EPOLLPRI. A zombie is in no cgroup; a removed cgroup is empty. */
bool cgroup_is_populated(int fd);

/* Waits until killed processes have left the cgroup, at most so many milliseconds: on newer kernels
 * a process is in its cgroup for a moment more after it was reaped. */
void cgroup_await_empty(int fd, unsigned int ms);

/* Sends SIGKILL to every process in the cgroup and below, also to processes that fork at the same
 * time. */
int cgroup_kill(int fd);

/* Sends SIGCONT to the processes of the cgroup. */
void cgroup_continue(int fd);

/* The memory of all its processes in bytes. With the memory controller it is what is charged to the
 * cgroup, without caches that the kernel can reclaim; otherwise the sum of the resident memory. */
uint64_t cgroup_measure_memory(int fd);

/* Lists the names of the child cgroups, sorted by strverscmp(). The caller frees each name and
 * *ret. */
int cgroup_list_children(const char *parent, char ***ret, size_t *ret_n);

/* Removes a child cgroup, with all cgroups that its processes have made in it. -EBUSY while
 * processes are in it. */
int cgroup_remove(const char *parent, const char *name);
