/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/leftovers.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/process.h"
#include "kern/cgroup.h"
#include "kern/cgroup_service.h"
#include "kern/proc.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/deployment_file.h"
#include "service/drain_mark.h"
#include "service/run_dir.h"

#define LEFTOVERS_TRIES 200

static bool leftovers_listen(const struct steer *steer)
{
	for (unsigned int slot = 0; slot < steer_schedule(steer)->n_slots; slot++)
		for (unsigned int e = 0; e < steer->service->n_endpoints; e++)
			if (steer_socks_cookie(steer, e, slot))
				return true;
	return false;
}

/* The process of a worker that is in its slot, or 0. */
static uint32_t leftovers_find_in_slots(const struct steer *steer)
{
	for (unsigned int slot = 0; slot < steer_schedule(steer)->n_slots; slot++) {
		struct rpd_worker row;
		int fd = -1;

		if (steer_workers_get(steer, slot, &row) == 0 && row.main_pid)
			fd = proc_open_pidfd((struct process_id){row.main_pid, row.main_start});
		if (fd < 0)
			continue;
		cleanup_close(&fd);
		return row.main_pid;
	}
	return 0;
}

/* A process in the cgroup of a worker, SLOT-NUMBER; not the log process, which ends by itself. */
static uint32_t leftovers_find_in_cgroup(const char *path, const char *name)
{
	_cleanup_close_ int fd = isdigit((unsigned char)name[0]) ? cgroup_open(path, name) : -1;
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	return fd >= 0 && cgroup_list_processes(fd, &pids, &n) == 0 && n ? pids[0] : 0;
}

uint32_t leftovers_find_process(const char *service)
{
	char path[PATH_MAX], **names = NULL;
	uint32_t found = 0;
	size_t n = 0;

	if (!run_dir_cgroup(service, path) || cgroup_list_children(path, &names, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (!found)
			found = leftovers_find_in_cgroup(path, names[i]);
		free(names[i]);
	}
	free(names);
	return found;
}

bool leftovers_live(const struct steer *steer, const char *service, uint32_t *ret_pid)
{
	*ret_pid = leftovers_find_in_slots(steer);
	if (!*ret_pid)
		*ret_pid = leftovers_find_process(service);
	return *ret_pid || leftovers_listen(steer);
}

/* A killed process needs a moment to end. */
static void leftovers_remove_cgroup(const char *path, const char *name)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	_cleanup_close_ int fd = cgroup_open(path, name);

	if (fd >= 0)
		cgroup_kill(fd);
	for (int i = 0; i < LEFTOVERS_TRIES && cgroup_remove(path, name) == -EBUSY; i++)
		nanosleep(&pause, NULL);
}

void leftovers_remove(const char *service)
{
	static const char *const files[] = {"control", "notify", "command", DEPLOYMENT_FILE,
	                                    DEPLOYMENT_FILE_HISTORY};
	char path[PATH_MAX], **names = NULL;
	size_t n = 0;

	if (run_dir_cgroup(service, path)) {
		cgroup_list_children(path, &names, &n);
		for (size_t i = 0; i < n; i++) {
			leftovers_remove_cgroup(path, names[i]);
			free(names[i]);
		}
		free(names);
		cgroup_service_remove(path);
		run_dir_forget_cgroup(service);
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		run_dir_unlink(service, files[i]);
	drain_mark_clear(service, NULL);
	run_dir_remove(service);
}
