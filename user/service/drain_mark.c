/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/drain_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "service/run_dir.h"

/* Not the name of a service. */
#define DRAIN_MARK_HOST "host.draining"
#define DRAIN_MARK_NAME "draining"

/* How often the folder may go just after it was made: a service that ends removes it. */
#define DRAIN_MARK_TRIES 100

static void drain_mark_path(const char *service, char ret[PATH_MAX])
{
	if (service)
		run_dir_path(service, DRAIN_MARK_NAME, ret, PATH_MAX);
	else
		run_dir_path(DRAIN_MARK_HOST, NULL, ret, PATH_MAX);
}

static int64_t drain_mark_time(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	return st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
}

int64_t drain_mark_read(const char *service)
{
	char path[PATH_MAX];

	drain_mark_path(service, path);
	return drain_mark_time(path);
}

int64_t drain_mark_read_change(void)
{
	return drain_mark_time(RUN_DIR_ROOT);
}

/* As a change of the host's mark does by itself. */
static void drain_mark_note_change(void)
{
	utimensat(AT_FDCWD, RUN_DIR_ROOT, NULL, 0);
}

int drain_mark_set(const char *service, struct error *err)
{
	char path[PATH_MAX];
	int fd = -1, r;

	drain_mark_path(service, path);
	for (int i = 0; fd < 0 && i < DRAIN_MARK_TRIES; i++) {
		r = service ? 0 : run_dir_make_root(err);
		if (r < 0)
			return r;
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0 && errno != ENOENT)
			break;
	}
	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		return error_set(err, -errno, "can't make %s: %s", path, strerror(errno));
	drain_mark_note_change();
	return fd >= 0 ? DRAIN_MARK_CHANGED : DRAIN_MARK_UNCHANGED;
}

int drain_mark_clear(const char *service, struct error *err)
{
	char path[PATH_MAX];

	drain_mark_path(service, path);
	if (unlink(path) < 0)
		return errno == ENOENT ? DRAIN_MARK_UNCHANGED
		                       : error_set(err, -errno, "can't remove %s: %s", path,
		                                   strerror(errno));
	drain_mark_note_change();
	if (!service)
		run_dir_remove_root();
	return DRAIN_MARK_CHANGED;
}
