/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/cgroup_bed.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "check/check.h"
#include "kern/cgroup_service.h"

struct cgroup_bed cgroup_bed_make(void)
{
	struct cgroup_bed bed = {.fd = -1};
	struct error err;
	char name[32];

	snprintf(name, sizeof(name), "check-%d", getpid());
	CHECK_MSG(cgroup_service_find(name, true, bed.path, &err) >= 0, "%s", err.text);
	bed.fd = open(bed.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(bed.fd >= 0);
	return bed;
}

void cgroup_bed_end(struct cgroup_bed *bed)
{
	if (bed->fd < 0)
		return;
	cgroup_kill(bed->fd);
	if (!check_until(!cgroup_is_populated(bed->fd)))
		fprintf(stderr, "%s still has processes\n", bed->path);
	cgroup_service_remove(bed->path);
	if (access(bed->path, F_OK) == 0)
		fprintf(stderr, "%s is left\n", bed->path);
	close(bed->fd);
	bed->fd = -1;
}

int cgroup_bed_worker(const struct cgroup_bed *bed, const char *name)
{
	struct error err;
	const int fd = cgroup_make(bed->path, name, &err);

	CHECK_MSG(fd >= 0, "%s", err.text);
	return fd;
}

bool cgroup_bed_enter(int fd)
{
	_cleanup_close_ int procs = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return write(procs, "0", 1) == 1;
}
