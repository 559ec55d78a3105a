/* SPDX-License-Identifier: BSD-2-Clause */
/* For checks that need a cgroup: a service's, which is gone at the end of the case, with all
 * processes that are in it, however the case ends. */
#pragma once

#include <fcntl.h>
#include <limits.h>

#include "check_discovery.h"
#include "kern/cgroup.h"
#include "kern/cgroup_service.h"

struct scratch {
	char path[PATH_MAX]; /* "" = not made */
	int fd;
};

static inline struct scratch scratch_make(void)
{
	struct scratch s = {.fd = -1};
	struct error err;
	char name[32];

	snprintf(name, sizeof(name), "check-%d", getpid());
	if (cgroup_service_find(name, true, s.path, &err) < 0)
		fprintf(stderr, "%s\n", err.text);
	else
		s.fd = open(s.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s;
}

static inline void scratch_end(struct scratch *s)
{
	const time_t end = time(NULL) + DEADLINE_S;

	if (s->fd < 0)
		return;
	cgroup_kill(s->fd);
	while (cgroup_is_populated(s->fd) && time(NULL) < end)
		sched_yield();
	cgroup_service_remove(s->path);
	if (access(s->path, F_OK) == 0)
		fprintf(stderr, "%s is left\n", s->path);
	close(s->fd);
}

#define _cleanup_scratch_ _cleanup_(scratch_end)

/* Moves this process into cgroup @fd. What it opens from then on belongs to that. */
static inline bool scratch_enter(int fd)
{
	_cleanup_close_ int procs = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return write(procs, "0", 1) == 1;
}
