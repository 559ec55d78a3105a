/* SPDX-License-Identifier: BSD-2-Clause */
/* How many CPUs the processes of a cgroup may use: the texts of its files. Pure; kern/cpu_count.h
 * reads them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CPU_QUOTA_NONE (~0u)

/* Reads cpu.max of cgroup 2: "max 100000", or "150000 100000". Returns the number of CPUs, rounded
 * up, at least 1; CPU_QUOTA_NONE if there is no quota. */
unsigned int cpu_quota_read_max(const char *text);

/* The same of cgroup 1: cpu.cfs_quota_us ("-1", or "150000") and cpu.cfs_period_us. */
unsigned int cpu_quota_read_cfs(const char *quota, const char *period);

/* Finds the cgroup in the text of /proc/PID/cgroup. @controller: of cgroup 1; NULL = the cgroup of
 * cgroup 2. Writes its path to @buf. Returns false if there is none, or no room. */
bool cpu_quota_find_cgroup(const char *text, const char *controller, char *buf, size_t size);

/* Whether @word is in a list such as "rw,cpu,cpuacct". */
bool cpu_quota_has_word(const char *list, const char *word);

/* Where a mount shows the cgroup: its path below the mount point. @root: the cgroup that is at the
 * mount point. "" if the mount does not show the cgroup, or shows it at the mount point. */
const char *cpu_quota_below(const char *cgroup, const char *root);
