/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

void run_dir_path(const char *service, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, RUN_DIR_ROOT "/%s%s%s", service, name ? "/" : "", name ? name : "");
}

/* Whatever the umask is: workers of other users reach their sockets and output through it. */
static bool run_dir_make_folder(const char *path, mode_t mode)
{
	return (mkdir(path, mode) == 0 || errno == EEXIST) && chmod(path, mode) == 0;
}

int run_dir_make_root(struct error *err)
{
	return run_dir_make_folder(RUN_DIR_ROOT, 0755)
	               ? 0
	               : error_set(err, -errno, "can't make " RUN_DIR_ROOT ": %s", strerror(errno));
}

int run_dir_make(const char *service, struct error *err)
{
	char dir[PATH_MAX], out[PATH_MAX];
	int r = run_dir_make_root(err);

	run_dir_path(service, NULL, dir, sizeof(dir));
	run_dir_path(service, "out", out, sizeof(out));
	if (r == 0 && (!run_dir_make_folder(dir, 0755) || !run_dir_make_folder(out, 0700)))
		r = error_set(err, -errno, "can't make the run directory %s: %s", dir,
		              strerror(errno));
	return r;
}

/* Where the next content of a file is written. */
static void run_dir_draft_path(const char *service, const char *name, char path[PATH_MAX])
{
	char draft[NAME_MAX];

	snprintf(draft, sizeof(draft), "%s.new", name);
	run_dir_path(service, draft, path, PATH_MAX);
}

int run_dir_write(const char *service, const char *name, const char *text)
{
	const size_t n = strlen(text);
	char path[PATH_MAX], draft[PATH_MAX];
	_cleanup_close_ int fd = -1;
	ssize_t written;

	run_dir_path(service, name, path, sizeof(path));
	run_dir_draft_path(service, name, draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	written = fd < 0 ? -1 : write(fd, text, n);
	if (written >= 0 && (size_t)written < n)
		return -ENOSPC;
	return written < 0 || rename(draft, path) < 0 ? -errno : 0;
}

void run_dir_unlink(const char *service, const char *name)
{
	char path[PATH_MAX];

	run_dir_path(service, name, path, sizeof(path));
	unlink(path);
	run_dir_draft_path(service, name, path);
	unlink(path);
}

/* What a log process that was killed has left. */
static void run_dir_remove_logs(const char *service, const char *out)
{
	_cleanup_dir_ DIR *dir = opendir(out);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	run_dir_unlink(service, "log");
	run_dir_unlink(service, "log.state");
}

void run_dir_remove(const char *service)
{
	char dir[PATH_MAX], out[PATH_MAX];

	run_dir_path(service, NULL, dir, sizeof(dir));
	run_dir_path(service, "out", out, sizeof(out));
	run_dir_remove_logs(service, out);
	rmdir(out);
	rmdir(dir);
	run_dir_remove_root();
}

void run_dir_remove_root(void)
{
	rmdir(RUN_DIR_ROOT);
}

/* The note is a symbolic link. */
static void run_dir_cgroup_note(const char *service, char *buf, size_t size)
{
	run_dir_path(service, "cgroup", buf, size);
}

bool run_dir_cgroup(const char *service, char ret[PATH_MAX])
{
	char note[PATH_MAX];
	ssize_t length;

	run_dir_cgroup_note(service, note, sizeof(note));
	length = readlink(note, ret, PATH_MAX - 1);
	if (length > 0)
		ret[length] = '\0';
	return length > 0;
}

int run_dir_note_cgroup(const char *service, const char *path, struct error *err)
{
	char note[PATH_MAX], present[PATH_MAX];

	if (run_dir_cgroup(service, present) && !strcmp(present, path))
		return 0;
	run_dir_cgroup_note(service, note, sizeof(note));
	/* A link to another path leads to a cgroup that is gone. */
	if ((unlink(note) < 0 && errno != ENOENT) || symlink(path, note) < 0)
		return error_set(err, -errno, "can't write %s: %s", note, strerror(errno));
	return 0;
}

void run_dir_forget_cgroup(const char *service)
{
	char note[PATH_MAX];

	run_dir_cgroup_note(service, note, sizeof(note));
	unlink(note);
}
