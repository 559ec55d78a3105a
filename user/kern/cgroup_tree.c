/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/cgroup_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"
#include "kern/cgroup_file.h"
#include "kern/mounts.h"

/* Deeper cgroups are not found. */
#define DEPTH_MAX 256

#define FILEID_KERNFS 0xfe /* include/linux/exportfs.h of the kernel */

static int cgroup_tree_open_mount(void)
{
	char path[PATH_MAX];
	const int r = mounts_find_cgroup2(path, sizeof(path));

	if (r != 0)
		return r < 0 ? r : -ENOENT;
	return cgroup_file_open_directory(AT_FDCWD, path);
}

int cgroup_tree_open(uint64_t id)
{
	_cleanup_close_ int mount = cgroup_tree_open_mount();
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(id)];
	} it = {.handle = {.handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS}};
	int fd;

	if (mount < 0)
		return mount;
	memcpy(it.handle.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(mount, &it.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Writes the ids of the cgroup and those above it, up to the mount. Returns how many, or a negative
 * errno. */
static int cgroup_tree_list_up(int fd, uint64_t root, uint64_t ids[DEPTH_MAX])
{
	_cleanup_close_ int above = -1;
	int n = 0;

	for (;; n++) {
		const int at = above < 0 ? fd : above;
		int next;

		if (n == DEPTH_MAX)
			return -ELOOP;
		ids[n] = cgroup_id(at);
		if (ids[n] == root)
			return n + 1;
		next = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return -errno;
		cleanup_close(&above);
		above = next;
	}
}

static bool cgroup_tree_has(const uint64_t *ids, int n, uint64_t id)
{
	for (int i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

int cgroup_tree_join(int *fd, uint64_t id)
{
	_cleanup_close_ int mount = cgroup_tree_open_mount(), other = cgroup_tree_open(id);
	uint64_t ours[DEPTH_MAX], theirs[DEPTH_MAX];
	int n_ours, n_theirs;

	if (mount < 0 || other < 0)
		return mount < 0 ? mount : other;
	if (*fd < 0) {
		*fd = TAKE_FD(other);
		return 0;
	}
	n_ours = cgroup_tree_list_up(*fd, cgroup_id(mount), ours);
	n_theirs = cgroup_tree_list_up(other, cgroup_id(mount), theirs);
	if (n_ours < 0 || n_theirs < 0)
		return n_ours < 0 ? n_ours : n_theirs;
	for (int i = 0; i < n_ours; i++) {
		int joined;

		if (!cgroup_tree_has(theirs, n_theirs, ours[i]))
			continue;
		if (i == 0)
			return 0;
		joined = cgroup_tree_open(ours[i]);
		if (joined < 0)
			return joined;
		close(*fd);
		*fd = joined;
		return 0;
	}
	return -ENOENT;
}
