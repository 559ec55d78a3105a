/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/service_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"
#include "kern/cgroup_service.h"
#include "kern/mounts.h"
#include "service/run_dir.h"
#include "stream/log.h"

#define END_MS 5000 /* how long killed processes may take to end */

/* Kills all of them first, then waits for each. */
static int service_cgroup_end_named(const char *path, char *const *names, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = cgroup_open(path, names[i]);

		if (fd >= 0)
			cgroup_kill(fd);
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = cgroup_open(path, names[i]);
		int removed;

		if (fd < 0)
			continue;
		cgroup_await_empty(fd, END_MS);
		removed = cgroup_remove(path, names[i]);
		if (removed < 0 && removed != -ENOENT)
			r = removed;
	}
	return r;
}

static int service_cgroup_end_children_of(const char *path, struct error *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = cgroup_list_children(path, &names, &n);

	if (r == 0)
		r = service_cgroup_end_named(path, names, n);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return r < 0 && r != -ENOENT
	               ? error_set(err, r,
	                           "can't end what an earlier run has left in cgroup %s: %s", path,
	                           strerror(-r))
	               : 0;
}

void service_cgroup_clear(struct supervisor *sup)
{
	struct error err;

	if (sup->cgroup_path[0] && service_cgroup_end_children_of(sup->cgroup_path, &err) < 0)
		log_line("%s: %s", sup->name, err.text);
}

/* A new service starts with an empty cgroup: kills what an earlier service of its name has left,
 * also in another cgroup (@noted). */
static int service_cgroup_make(struct supervisor *sup, const char *noted, struct error *err)
{
	int r = cgroup_service_find(sup->name, true, sup->cgroup_path, err);

	if (r == 0)
		r = service_cgroup_end_children_of(sup->cgroup_path, err);
	if (r == 0 && noted && strcmp(noted, sup->cgroup_path) != 0) {
		r = service_cgroup_end_children_of(noted, err);
		cgroup_service_remove(noted);
	}
	return r;
}

int service_cgroup_open(struct supervisor *sup, bool taken_over, struct error *err)
{
	char noted[PATH_MAX], mount[PATH_MAX];
	bool is_noted = run_dir_cgroup(sup->name, noted);
	int r;

	if (is_noted && cgroup_service_use(noted, err) < 0)
		is_noted = false;
	if (!taken_over) {
		r = service_cgroup_make(sup, is_noted ? noted : NULL, err);
	} else if (is_noted) {
		strcpy(sup->cgroup_path, noted);
		r = 0;
	} else {
		r = cgroup_service_find(sup->name, true, sup->cgroup_path, err);
	}
	if (r == 0)
		r = run_dir_note_cgroup(sup->name, sup->cgroup_path, err);
	if (r < 0)
		return r;
	if (mounts_find_cgroup2(mount, sizeof(mount)) != 0 ||
	    strncmp(sup->cgroup_path, mount, strlen(mount)) != 0)
		return error_set(err, -ENOENT, "the cgroup %s is not below the mount of cgroup2",
		                 sup->cgroup_path);
	sup->cgroup_below = sup->cgroup_path + strlen(mount);
	sup->cgroup_fd = open(sup->cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return sup->cgroup_fd < 0 ? error_set(err, -errno, "can't open %s: %s", sup->cgroup_path,
	                                      strerror(errno))
	                          : 0;
}

bool service_cgroup_remove(struct supervisor *sup)
{
	if (sup->cgroup_path[0] == '\0')
		return true;
	if (cgroup_service_remove(sup->cgroup_path) < 0)
		return false;
	run_dir_forget_cgroup(sup->name);
	return true;
}
