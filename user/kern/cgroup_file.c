/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/cgroup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/proc_read.h"

int cgroup_file_write(int at, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(at, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_file_read(int at, const char *path, char *buf, size_t size)
{
	return proc_read_text(at, path, buf, size);
}

int cgroup_file_open_directory(int at, const char *path)
{
	const int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

int cgroup_file_explain(int code, const char *path, struct error *err)
{
	return error_set(err, code, "can't make the cgroup %s: %s%s", path, strerror(-code),
	                 code == -EROFS ? "\ncgroup2 is mounted read-only here: mount it read-write"
	                 : code == -EACCES || code == -EPERM
	                         ? "\nrun as root, or as a systemd unit with Delegate=yes"
	                         : "");
}
