/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/cgroup_limit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/cgroup_file.h"

/* Whether the list of controllers in @file contains @controller. */
static bool cgroup_limit_has_controller(int fd, const char *file, const char *controller)
{
	char text[512], *rest = NULL;

	if (cgroup_file_read(fd, file, text, sizeof(text)) < 0)
		return false;
	for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		if (!strcmp(word, controller))
			return true;
	return false;
}

static int cgroup_limit_explain(int code, const char *controller, struct error *err)
{
	if (code == -EBUSY)
		return error_set(err, code,
		                 "can't limit %s: the cgroup above the services has processes of "
		                 "its own, so cgroup2 can't turn the controller on\n"
		                 "move the processes to a child cgroup",
		                 controller);
	return error_set(err, code, "can't limit %s: the controller can't be turned on: %s",
	                 controller, strerror(-code));
}

/* Turns the controller on in the three cgroups above the worker: the one that we were given, its
 * child "reuseportd", and the service's. */
static int cgroup_limit_enable(int fd, const char *controller, struct error *err)
{
	static const char *const above[] = {"../../..", "../..", ".."};
	char change[32];

	snprintf(change, sizeof(change), "+%s", controller);
	for (size_t i = 0; i < ARRAY_SIZE(above); i++) {
		_cleanup_close_ int at = cgroup_file_open_directory(fd, above[i]);
		int r;

		if (at < 0)
			return cgroup_limit_explain(at, controller, err);
		if (!cgroup_limit_has_controller(at, "cgroup.controllers", controller))
			return error_set(
			        err, -EOPNOTSUPP,
			        "can't limit %s: the cgroup2 of this host, or unit, lacks the "
			        "controller '%s' (see cgroup.controllers)%s",
			        controller, controller,
			        i == 0 ? "\non a host with cgroup v1 beside it, boot with "
			                 "systemd.unified_cgroup_hierarchy=1"
			               : "");
		if (cgroup_limit_has_controller(at, "cgroup.subtree_control", controller))
			continue;
		r = cgroup_file_write(at, "cgroup.subtree_control", change);
		if (r < 0)
			return cgroup_limit_explain(r, controller, err);
	}
	return 0;
}

static int cgroup_limit_write(int fd, const char *controller, const char *file, const char *value,
                              struct error *err)
{
	int r = cgroup_limit_enable(fd, controller, err);

	if (r < 0)
		return r;
	r = cgroup_file_write(fd, file, value);
	return r < 0 ? error_set(err, r, "can't set %s to %s: %s", file, value, strerror(-r)) : 0;
}

bool cgroup_limit_is_on(int fd, const char *controller)
{
	return cgroup_limit_has_controller(fd, "cgroup.subtree_control", controller);
}

int cgroup_limit_set(int fd, uint64_t memory, unsigned int cpu_permille, struct error *err)
{
	enum { PERIOD_US = 100000 };
	char value[64];
	int r = 0;

	if (memory) {
		snprintf(value, sizeof(value), "%" PRIu64, memory);
		r = cgroup_limit_write(fd, "memory", "memory.max", value, err);
	}
	if (r == 0 && cpu_permille) {
		snprintf(value, sizeof(value), "%u %d", cpu_permille * (PERIOD_US / 1000),
		         PERIOD_US);
		r = cgroup_limit_write(fd, "cpu", "cpu.max", value, err);
	}
	return r;
}
