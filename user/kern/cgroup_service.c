/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/cgroup_service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "kern/cgroup.h"
#include "kern/cgroup_file.h"
#include "kern/mounts.h"

#define CGROUP_PARENT "reuseportd" /* the parent of the services' cgroups */
#define SUPERVISOR    "supervisor" /* our leaf of a unit's cgroup */

/* Appends "/NAME". */
static int cgroup_service_append_path(char path[PATH_MAX], const char *name)
{
	const size_t length = strlen(path);

	if (length + 1 + strlen(name) >= PATH_MAX)
		return -ENAMETOOLONG;
	path[length] = '/';
	strcpy(path + length + 1, name);
	return 0;
}

/* Appends the path of our own cgroup: the line "0::/PATH" of /proc/self/cgroup, where "/" is the
 * mount point. */
static int cgroup_service_append_own(char path[PATH_MAX])
{
	_cleanup_file_ FILE *file = fopen("/proc/self/cgroup", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!file)
		return -errno;
	while (memory_getdelim(&line, &size, '\n', file) >= 0)
		if (!strncmp(line, "0::/", 4)) {
			line[strcspn(line, "\n")] = '\0';
			return line[4] ? cgroup_service_append_path(path, line + 4) : 0;
		}
	return -ENOENT;
}

/* systemd marks a delegated cgroup by this attribute; by the first name since systemd 251. */
static bool cgroup_service_is_delegated(const char *path)
{
	static const char *const names[] = {"user.delegate", "trusted.delegate"};
	char value;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (getxattr(path, names[i], &value, 1) == 1 && value == '1')
			return true;
	return false;
}

/*
 * Finds the unit's cgroup that was delegated to us: our own, or the one above if we are in its leaf
 * already. Returns false, with @path unchanged, if there is none.
 */
static bool cgroup_service_find_unit(char path[PATH_MAX])
{
	char own[PATH_MAX];
	char *last;

	strcpy(own, path);
	if (cgroup_service_append_own(own) < 0 || strlen(own) == strlen(path))
		return false;
	last = strrchr(own, '/');
	if (!strcmp(last, "/" SUPERVISOR))
		*last = '\0';
	if (!cgroup_service_is_delegated(own))
		return false;
	strcpy(path, own);
	return true;
}

static int cgroup_service_make_directory(const char *path, struct error *err)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? cgroup_file_explain(-errno, path, err)
	                                                : 0;
}

/* Moves us to the unit's leaf: once controllers are on, only leaves may have processes
 * (cgroups(7)). */
static int cgroup_service_move_to_leaf(const char *unit, struct error *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int r;

	strcpy(path, unit);
	r = cgroup_service_append_path(path, SUPERVISOR);
	if (r < 0)
		return cgroup_file_explain(r, unit, err);
	r = cgroup_service_make_directory(path, err);
	if (r < 0)
		return r;
	fd = cgroup_file_open_directory(AT_FDCWD, path);
	r = fd < 0 ? fd : cgroup_file_write(fd, "cgroup.procs", "0");
	return r < 0 ? error_set(err, r, "can't move to the cgroup %s: %s", path, strerror(-r)) : 0;
}

/* Another supervisor may remove the parent at the same moment, when its last service ends. */
static int cgroup_service_make_with_parent(const char *parent, const char *path, struct error *err)
{
	int r;

	for (int tries = 0; tries < 100; tries++) {
		r = cgroup_service_make_directory(parent, err);
		if (r < 0)
			return r;
		r = cgroup_service_make_directory(path, err);
		if (r != -ENOENT)
			break;
	}
	if (r < 0)
		rmdir(parent);
	return r;
}

/* Finds the cgroup that may contain cgroups of ours. */
static int cgroup_service_find_base(bool create, char path[PATH_MAX], struct error *err)
{
	int r = mounts_require_cgroup2(path, PATH_MAX, err);

	if (r < 0)
		return r;
	return cgroup_service_find_unit(path) && create ? cgroup_service_move_to_leaf(path, err)
	                                                : 0;
}

int cgroup_service_find(const char *service, bool create, char ret_path[PATH_MAX],
                        struct error *err)
{
	char parent[PATH_MAX], path[PATH_MAX];
	int r = cgroup_service_find_base(create, parent, err);

	if (r < 0)
		return r;
	r = cgroup_service_append_path(parent, CGROUP_PARENT);
	strcpy(path, parent);
	if (r == 0)
		r = cgroup_service_append_path(path, service);
	if (r < 0)
		return cgroup_file_explain(r, path, err);
	if (create)
		r = cgroup_service_make_with_parent(parent, path, err);
	else if (access(path, F_OK) < 0)
		r = error_set(err, -errno, "there is no cgroup %s: %s", path, strerror(errno));
	if (r == 0)
		strcpy(ret_path, path);
	return r;
}

int cgroup_service_use(const char *path, struct error *err)
{
	_cleanup_close_ int fd = cgroup_file_open_directory(AT_FDCWD, path);
	char unit[PATH_MAX];
	struct statfs fs;
	size_t length;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return error_set(err, -ENOENT, "there is no cgroup %s", path);
	if (mounts_find_cgroup2(unit, sizeof(unit)) != 0 || !cgroup_service_find_unit(unit))
		return 0;
	length = strlen(unit);
	return !strncmp(path, unit, length) && path[length] == '/'
	               ? cgroup_service_move_to_leaf(unit, err)
	               : 0;
}

int cgroup_service_remove(const char *path)
{
	const char *name = strrchr(path, '/');
	_cleanup_free_ char *parent = name ? strndup(path, (size_t)(name - path)) : NULL;
	int r;

	if (!parent)
		return name ? -ENOMEM : -EINVAL;
	r = cgroup_remove(parent, name + 1);
	if (r == 0 && rmdir(parent) < 0 && errno != EBUSY && errno != ENOTEMPTY)
		r = -errno;
	return r;
}
