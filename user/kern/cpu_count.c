/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/cpu_count.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "core/cpu_quota.h"
#include "kern/cgroup_file.h"
#include "kern/mounts.h"

static unsigned int cpu_count_min(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static bool cpu_count_read(const char *cgroup, const char *name, char *buf, size_t size)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", cgroup, name) < (int)sizeof(path) &&
	       cgroup_file_read(AT_FDCWD, path, buf, size) >= 0;
}

/* The quota of the cgroup with this folder. */
static unsigned int cpu_count_quota(const char *cgroup)
{
	char quota[64], period[64];

	if (cpu_count_read(cgroup, "cpu.max", quota, sizeof(quota)))
		return cpu_quota_read_max(quota);
	if (cpu_count_read(cgroup, "cpu.cfs_quota_us", quota, sizeof(quota)) &&
	    cpu_count_read(cgroup, "cpu.cfs_period_us", period, sizeof(period)))
		return cpu_quota_read_cfs(quota, period);
	return CPU_QUOTA_NONE;
}

/* The least quota of the cgroup @below the mount point, and of all above it. */
static unsigned int cpu_count_least_quota(const char *mount, const char *below)
{
	const size_t length = strlen(mount);
	unsigned int n = CPU_QUOTA_NONE;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%s", mount, below) >= (int)sizeof(path))
		return n;
	for (;;) {
		n = cpu_count_min(n, cpu_count_quota(path));
		if (strlen(path) <= length)
			return n;
		*strrchr(path, '/') = '\0';
	}
}

/* Returns the field @n of a line of mountinfo (proc_pid_mountinfo(5)), counted from 0. */
static const char *cpu_count_field(const char *line, unsigned int n)
{
	while (n-- && line) {
		line = strchr(line, ' ');
		line = line ? line + 1 : NULL;
	}
	return line;
}

/* @line: of mountinfo; it is changed. @cgroups: the text of /proc/self/cgroup. */
static unsigned int cpu_count_of_mount(char *line, const char *cgroups)
{
	const char *types = strstr(line, " - ");
	const bool is_2 = types && !strncmp(types, " - cgroup2 ", 11);
	const bool is_1 = types && !strncmp(types, " - cgroup ", 10) &&
	                  cpu_count_field(types + 3, 2) &&
	                  cpu_quota_has_word(cpu_count_field(types + 3, 2), "cpu");
	const char *root = cpu_count_field(line, 3), *mount;
	char cgroup[PATH_MAX];

	if ((!is_1 && !is_2) || !root ||
	    !cpu_quota_find_cgroup(cgroups, is_1 ? "cpu" : NULL, cgroup, sizeof(cgroup)))
		return CPU_QUOTA_NONE;
	mount = mounts_parse_line(line, is_1 ? "cgroup" : "cgroup2"); /* ends @root, too */
	return mount ? cpu_count_least_quota(mount, cpu_quota_below(cgroup, root)) : CPU_QUOTA_NONE;
}

unsigned int cpu_count(void)
{
	_cleanup_file_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	char cgroups[16384];
	unsigned int n;
	size_t size = 0;
	cpu_set_t cpus;

	n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned int)CPU_COUNT(&cpus) : 1;
	if (!mounts ||
	    cgroup_file_read(AT_FDCWD, "/proc/self/cgroup", cgroups, sizeof(cgroups)) < 0)
		return n;
	while (memory_getdelim(&line, &size, '\n', mounts) >= 0)
		n = cpu_count_min(n, cpu_count_of_mount(line, cgroups));
	return n;
}
