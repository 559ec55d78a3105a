/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/file_rights.h"

static int log_file_open_at(int at, const char *name, uint64_t flags, uint64_t mode,
                            uint64_t resolve)
{
	const struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
	const int fd = (int)syscall(SYS_openat2, at, name, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* Opens a folder of the path, and makes it if necessary. @owner: the owner of a new folder, NULL =
 * ours. */
static int log_file_open_folder(int at, const char *name, const struct credentials *owner,
                                uint64_t resolve)
{
	int fd = log_file_open_at(at, name, O_PATH | O_DIRECTORY, 0, resolve);
	bool is_ours;

	if (fd != -ENOENT)
		return fd;
	is_ours = mkdirat(at, name, 0755) == 0;
	if (!is_ours && errno != EEXIST)
		return -errno;
	fd = log_file_open_at(at, name, O_PATH | O_DIRECTORY, 0, resolve);
	/* By the descriptor, and only if it is our folder, not one that another process made in
	 * the meantime. */
	if (fd >= 0 && is_ours && owner &&
	    fchownat(fd, "", owner->uid, owner->gid, AT_EMPTY_PATH) < 0) {
		const int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

/* Whether the user can put a file into the folder, or take one out. @sticky_ok: not if the folder
 * is as /tmp, where a user can't take out what belongs to others. */
static bool log_file_may_change(int folder, const struct credentials *id, bool sticky_ok)
{
	_cleanup_file_rights_ struct file_rights own = {};
	struct stat st;

	if (fstat(folder, &st) < 0)
		return true;
	if (sticky_ok && st.st_mode & S_ISVTX)
		return false;
	return st.st_uid == id->uid || file_rights_assume(&own, id) < 0 ||
	       faccessat(folder, "", W_OK, AT_EACCESS | AT_EMPTY_PATH) == 0;
}

static bool log_file_is_roots(int folder, const char *name)
{
	struct stat st;

	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == 0;
}

/* With @owner, -EACCES for what is in a folder that this user may change. */
static int log_file_open_path(const char *path, const struct credentials *owner, uint64_t resolve)
{
	_cleanup_close_ int at =
	        log_file_open_at(AT_FDCWD, *path == '/' ? "/" : ".", O_PATH | O_DIRECTORY, 0, 0);
	char name[NAME_MAX + 1];
	int fd = at;

	for (size_t n = strcspn(path, "/"); path[n] && fd >= 0; n = strcspn(path, "/")) {
		if (n >= sizeof(name))
			return -ENAMETOOLONG;
		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		path += n + 1;
		if (!n)
			continue;
		if (owner && log_file_may_change(at, owner, log_file_is_roots(at, name)))
			return -EACCES;
		fd = log_file_open_folder(at, name, owner, resolve);
		close(at);
		at = fd;
	}
	if (fd >= 0 && owner && log_file_may_change(at, owner, false))
		return -EACCES;
	if (fd >= 0) /* O_NONBLOCK: do not wait for the reader of a FIFO */
		fd = log_file_open_at(at, path,
		                      O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, 0644,
		                      resolve);
	return fd;
}

static int log_file_open_as(const char *path, const struct credentials *id)
{
	_cleanup_file_rights_ struct file_rights own = {};
	const int r = file_rights_assume(&own, id);

	return r < 0 ? r : log_file_open_path(path, NULL, 0);
}

static const char *log_file_explain(int r)
{
	return r == -ENXIO    ? "; it is a FIFO without a reader, or a socket"
	       : r == -EACCES ? "; the workers' user has no right to it"
	       : r == -ELOOP
	               ? "; the workers' user has no right to it, and with our rights no link is "
	                 "followed"
	               : "";
}

int log_file_open(const char *path, const struct credentials *id, struct error *err)
{
	int r = -EPERM;

	if (id->set_user)
		r = log_file_open_as(path, id);
	if ((r == -EPERM || r == -EACCES) && !id->limited)
		r = log_file_open_path(path, id->set_user ? id : NULL,
		                       id->set_user ? RESOLVE_NO_SYMLINKS : 0);
	if (r == -EACCES && id->set_user) /* in a folder that was just made for the user */
		r = log_file_open_as(path, id);
	return r < 0 ? error_set(err, r, "can't write to %s: %s%s", path, strerror(-r),
	                         log_file_explain(r))
	             : r;
}
