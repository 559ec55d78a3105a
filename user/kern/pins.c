/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/pins.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "kern/probe.h"

#define PINS_BPFFS  "/sys/fs/bpf"
#define PINS_FOLDER "reuseportd"

int pins_check_name(const char *service, struct error *err)
{
	size_t n = strlen(service);

	if (n == 0 || n >= RPD_LABEL_MAX || !isalpha((unsigned char)service[0]))
		goto bad;
	for (size_t i = 1; i < n; i++)
		if (!isalnum((unsigned char)service[i]) && !strchr("-_", service[i]))
			goto bad;
	return 0;
bad:
	return error_usage(err,
	                   "'%s' is no name for a service: it is a letter, then letters, digits, "
	                   "'-' and '_', at most %d in all",
	                   service, RPD_LABEL_MAX - 1);
}

/* Mounts bpffs where everybody expects it. */
static int mount_bpffs(char *ret_path, size_t n, struct error *err)
{
	if (mount("bpf", PINS_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return error_set(err, -errno,
		                 "bpffs is not mounted, and mounting it failed: %s\n"
		                 "mount it by hand: mount -t bpf bpf %s",
		                 strerror(errno), PINS_BPFFS);
	snprintf(ret_path, n, "%s", PINS_BPFFS);
	return 0;
}

/* <bpffs>/reuseportd; -ENOENT without an error text if it isn't there and not @create. */
static int find_root(char *ret_path, size_t n, bool create, struct error *err)
{
	char bpffs[PATH_MAX - 64];
	int r = probe_bpffs(bpffs, sizeof(bpffs));

	if (r == -ENOENT && create)
		r = mount_bpffs(bpffs, sizeof(bpffs), err);
	else if (r < 0 && r != -ENOENT)
		return error_set(err, r, "can't look for bpffs: %s", strerror(-r));
	if (r < 0)
		return r;
	snprintf(ret_path, n, "%s/%s", bpffs, PINS_FOLDER);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

int pins_list(char (**ret)[RPD_LABEL_MAX], size_t *ret_n, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX];
	struct dirent *entry;
	size_t n = 0;
	int r;

	r = find_root(path, sizeof(path), false, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0)
		dir = opendir(path);
	if (r == 0 && !dir && errno != ENOENT)
		return error_set(err, -errno, "can't read %s: %s", path, strerror(errno));
	while (dir && (entry = readdir(dir))) {
		struct error ignored;
		void *more;

		if (pins_check_name(entry->d_name, &ignored) < 0)
			continue;
		more = realloc(names, (n + 1) * sizeof(*names));
		if (!more)
			return error_set(err, -ENOMEM, "out of memory");
		names = more;
		strcpy(names[n++], entry->d_name); /* its length was checked */
	}
	if (n)
		qsort(names, n, sizeof(*names), compare_names);
	*ret = TAKE_PTR(names);
	*ret_n = n;
	return 0;
}

/* Whether the folder that we have locked is still the one of that name: detach may have removed
 * it, and attach may have made a new one, while we waited. */
static bool still_there(int fd, const char *path)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
	       ours.st_dev == named.st_dev;
}

/* In a bpffs that everybody may write to (its default mode), anybody may have made the folder. */
static bool owner_is_trusted(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid());
}

/* Opens the service's folder, with @create making it and the one above. -EAGAIN if a detach
 * removed one of them meanwhile. */
static int open_folder(const char *root, const struct pins *pins, bool create, struct error *err)
{
	int fd;

	if (create && ((mkdir(root, 0700) < 0 && errno != EEXIST) ||
	               (mkdir(pins->path, 0700) < 0 && errno != EEXIST)))
		return errno == ENOENT ? -EAGAIN
		                       : error_set(err, -errno, "can't make %s: %s", pins->path,
		                                   strerror(errno));
	fd = open(pins->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && owner_is_trusted(fd))
		return fd;
	if (fd >= 0) {
		close(fd);
		return error_set(err, -EPERM,
		                 "%s was made by another user, so what is pinned there can't be "
		                 "trusted; remove it, and see that bpffs is writable for root only",
		                 pins->path);
	}
	if (errno != ENOENT)
		return error_set(err, -errno, "can't open %s: %s", pins->path, strerror(errno));
	return create ? -EAGAIN
	              : error_set(err, -ENOENT,
	                          "there is no service '%s'; `reuseportd list` shows all",
	                          pins->service);
}

/* Fills in where the service's pins are, or would be. @ret_root: the folder above. */
static int locate(struct pins *pins, const char *service, bool create,
                  char ret_root[PATH_MAX - RPD_LABEL_MAX], struct error *err)
{
	int r = pins_check_name(service, err);

	if (r < 0)
		return r;
	err->text[0] = '\0';
	r = find_root(ret_root, PATH_MAX - RPD_LABEL_MAX, create, err);
	if (r < 0)
		return err->text[0] ? r : error_set(err, r, "there is no service '%s'", service);
	snprintf(pins->path, sizeof(pins->path), "%s/%s", ret_root, service);
	snprintf(pins->service, sizeof(pins->service), "%s", service);
	return 0;
}

int pins_lock(struct pins *pins, const char *service, bool create, struct error *err)
{
	_cleanup_close_ int fd = -1;
	char root[PATH_MAX - RPD_LABEL_MAX];
	int r = locate(pins, service, create, root, err);

	if (r < 0)
		return r;
	do {
		cleanup_close(&fd);
		fd = open_folder(root, pins, create, err);
		if (fd < 0 && fd != -EAGAIN)
			return fd;
		while (fd >= 0 && flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				return error_set(err, -errno, "can't lock %s: %s", pins->path,
				                 strerror(errno));
	} while (fd < 0 || !still_there(fd, pins->path));
	pins->fd = TAKE_FD(fd);
	return 0;
}

int pins_peek(struct pins *pins, const char *service, struct error *err)
{
	char root[PATH_MAX - RPD_LABEL_MAX];
	int r = locate(pins, service, false, root, err);

	if (r == 0)
		r = open_folder(root, pins, false, err);
	if (r < 0)
		return r;
	pins->fd = r;
	return 0;
}

const char *pins_path(const struct pins *pins, const char *name, char buf[PATH_MAX])
{
	/* Longer than PATH_MAX can't have been locked: the name is one of ours and short. */
	snprintf(buf, PATH_MAX, "%.*s/%s", PATH_MAX - 64, pins->path, name);
	return buf;
}

int pins_remove(struct pins *pins, const char *last, struct error *err)
{
	_cleanup_dir_ DIR *dir = opendir(pins->path);
	struct dirent *entry;
	char root[PATH_MAX];

	if (!dir)
		return error_set(err, -errno, "can't read %s: %s", pins->path, strerror(errno));
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || (last && !strcmp(entry->d_name, last)))
			continue;
		if (unlinkat(pins->fd, entry->d_name, 0) < 0)
			return error_set(err, -errno, "can't remove %s/%s: %s", pins->path,
			                 entry->d_name, strerror(errno));
	}
	if (last && unlinkat(pins->fd, last, 0) < 0 && errno != ENOENT)
		return error_set(err, -errno, "can't remove %s/%s: %s", pins->path, last,
		                 strerror(errno));
	if (rmdir(pins->path) < 0)
		return error_set(err, -errno, "can't remove %s: %s", pins->path, strerror(errno));
	/* The folder above goes with the last service; not empty is no error. */
	snprintf(root, sizeof(root), "%.*s", (int)(strrchr(pins->path, '/') - pins->path),
	         pins->path);
	rmdir(root);
	return 0;
}

void pins_unlock(struct pins *pins)
{
	cleanup_close(&pins->fd);
	pins->fd = -1;
}
