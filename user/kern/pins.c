/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/pins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "core/service_name.h"
#include "kern/mounts.h"

#define PINS_BPFFS  "/sys/fs/bpf"
#define PINS_FOLDER "reuseportd"

#define PINS_RETRY_MS 5

/* Whether our mounts are those of process 1. The mounts of another namespace, such as `ip netns
 * exec` makes, go with its last process; and with a bpffs that is mounted there all its pins go. */
static bool pins_is_first_mount_namespace(void)
{
	struct stat ours, first;

	return stat("/proc/self/ns/mnt", &ours) < 0 || stat("/proc/1/ns/mnt", &first) < 0 ||
	       ours.st_ino == first.st_ino;
}

/* Mounts bpffs at its usual place. */
static int pins_mount_bpffs(char *ret_path, size_t n, struct error *err)
{
	if (!pins_is_first_mount_namespace())
		return error_set(err, -ENOENT,
		                 "bpffs is not mounted in this mount namespace, and what is pinned "
		                 "here would be lost with it. From `ip netns exec`, run reuseportd "
		                 "outside: with --pid PID of a worker, or by "
		                 "`nsenter --net=/run/netns/NAME`");
	if (mount("bpf", PINS_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return error_set(err, -errno,
		                 "bpffs is not mounted, and mounting it failed: %s\n"
		                 "mount it by hand: mount -t bpf bpf %s",
		                 strerror(errno), PINS_BPFFS);
	snprintf(ret_path, n, "%s", PINS_BPFFS);
	return 0;
}

/* Finds <bpffs>/reuseportd. Without @create PINS_NO_SERVICE, with no text in @err, if bpffs is not
 * mounted. */
static int pins_find_root(char *ret_path, size_t n, bool create, struct error *err)
{
	char bpffs[PATH_MAX - 64];
	int r = mounts_find_bpffs(bpffs, sizeof(bpffs));

	if (r == MOUNTS_NONE && !create)
		return PINS_NO_SERVICE;
	if (r == MOUNTS_NONE)
		r = pins_mount_bpffs(bpffs, sizeof(bpffs), err);
	else if (r < 0)
		error_set(err, r, "can't look for bpffs: %s", strerror(-r));
	if (r < 0)
		return r;
	snprintf(ret_path, n, "%s/%s", bpffs, PINS_FOLDER);
	return 0;
}

static int pins_compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

int pins_list_services(char (**ret)[RPD_LABEL_MAX], size_t *ret_n, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX];
	struct dirent *entry;
	size_t n = 0;
	int r;

	r = pins_find_root(path, sizeof(path), false, err);
	if (r < 0)
		return r;
	if (r == 0)
		dir = opendir(path);
	if (r == 0 && !dir && errno != ENOENT)
		return error_set(err, -errno, "can't read %s: %s", path, strerror(errno));
	while (dir && (entry = readdir(dir))) {
		void *more;

		if (entry->d_type != DT_DIR || service_name_check(entry->d_name, NULL) < 0 ||
		    service_name_is_trial(entry->d_name))
			continue;
		more = realloc(names, (n + 1) * sizeof(*names));
		if (!more)
			return error_set(err, -ENOMEM, "out of memory");
		names = more;
		strcpy(names[n++], entry->d_name); /* its length was checked */
	}
	if (n)
		qsort(names, n, sizeof(*names), pins_compare_names);
	*ret = TAKE_PTR(names);
	*ret_n = n;
	return 0;
}

/* Whether the folder that we have locked still has that name. While we waited for the lock, detach
 * may have removed it, and attach may have made another. */
static bool pins_is_current_folder(int fd, const char *path)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
	       ours.st_dev == named.st_dev;
}

/* Opens folder @name of @parent (AT_FDCWD: a path), after a check that another user neither made it
 * nor linked it elsewhere: by its default mode every user may write to a bpffs. PINS_NO_SERVICE,
 * with no text in @err, if there is no such folder. */
static int pins_open_trusted(int parent, const char *name, const struct pins *pins, int *ret,
                             struct error *err)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return PINS_NO_SERVICE;
	if (fd < 0 && errno != ENOTDIR && errno != ELOOP)
		return error_set(err, -errno, "can't open %s: %s", pins->path, strerror(errno));
	if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid())) {
		*ret = fd;
		return 0;
	}
	cleanup_close(&fd);
	return error_set(err, -EPERM,
	                 "%s, or the folder above it, was made by another user, so what is pinned "
	                 "there can't be trusted; remove it, and see that bpffs is writable for "
	                 "root only",
	                 pins->path);
}

static int pins_explain_no_service(const struct pins *pins, struct error *err)
{
	return error_set(err, PINS_NO_SERVICE,
	                 "there is no service '%s'; `reuseportd list` shows all", pins->service);
}

/* Opens the service's folder. PINS_NO_SERVICE, with no text in @err, if it doesn't exist. */
static int pins_open_folder(const char *root, const struct pins *pins, int *ret, struct error *err)
{
	_cleanup_close_ int above = -1;
	int r = pins_open_trusted(AT_FDCWD, root, pins, &above, err);

	return r ? r : pins_open_trusted(above, pins->service, pins, ret, err);
}

/* As pins_open_folder(), but makes the folder and the one above. PINS_NO_SERVICE if a detach has
 * removed one of them in the meantime. */
static int pins_make_folder(const char *root, const struct pins *pins, int *ret, struct error *err)
{
	_cleanup_close_ int above = -1;
	int r;

	if (mkdir(root, 0700) < 0 && errno != EEXIST)
		return error_set(err, -errno, "can't make %s: %s", root, strerror(errno));
	r = pins_open_trusted(AT_FDCWD, root, pins, &above, err);
	if (r)
		return r;
	if (mkdirat(above, pins->service, 0700) < 0 && errno != EEXIST)
		return errno == ENOENT ? PINS_NO_SERVICE
		                       : error_set(err, -errno, "can't make %s: %s", pins->path,
		                                   strerror(errno));
	return pins_open_trusted(above, pins->service, pins, ret, err);
}

static pins_waiting_fn pins_waiting;
static unsigned int pins_patience_ms = PINS_PATIENCE_MS;

bool pins_never_wait(const char *service)
{
	return false;
}

void pins_set_waiting(pins_waiting_fn waiting, unsigned int patience_ms)
{
	pins_waiting = waiting;
	pins_patience_ms = patience_ms;
}

/* Returns 0, PINS_LOCKED or a negative errno. */
static int pins_lock_folder(int fd, const struct pins *pins, struct error *err)
{
	const struct timespec pause = {.tv_nsec = PINS_RETRY_MS * 1000000};

	for (unsigned int waited = 0;; waited += PINS_RETRY_MS) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK || waited >= pins_patience_ms)
			break;
		nanosleep(&pause, NULL);
	}
	if (pins_waiting && !pins_waiting(pins->service))
		return error_set(err, PINS_LOCKED, "service '%s' is locked by another command",
		                 pins->service);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return error_set(err, -errno, "can't lock %s: %s", pins->path,
			                 strerror(errno));
	return 0;
}

/* Fills in where the service's pins are, or would be. @ret_root: the folder above. */
static int pins_locate(struct pins *pins, const char *service, bool create,
                       char ret_root[PATH_MAX - RPD_LABEL_MAX], struct error *err)
{
	int r = service_name_check(service, err);

	if (r < 0)
		return r;
	snprintf(pins->service, sizeof(pins->service), "%s", service);
	r = pins_find_root(ret_root, PATH_MAX - RPD_LABEL_MAX, create, err);
	if (r == PINS_NO_SERVICE)
		return pins_explain_no_service(pins, err);
	if (r < 0)
		return r;
	snprintf(pins->path, sizeof(pins->path), "%s/%s", ret_root, service);
	return 0;
}

int pins_open_locked(struct pins *pins, const char *service, bool create, struct error *err)
{
	_cleanup_close_ int fd = -1;
	char root[PATH_MAX - RPD_LABEL_MAX];
	int r = pins_locate(pins, service, create, root, err);

	if (r)
		return r;
	do {
		cleanup_close(&fd);
		fd = -1;
		r = create ? pins_make_folder(root, pins, &fd, err)
		           : pins_open_folder(root, pins, &fd, err);
		if (r == PINS_NO_SERVICE && !create) {
			rmdir(root); /* a killed command may have left it empty */
			return pins_explain_no_service(pins, err);
		}
		if (r < 0)
			return r;
		r = fd < 0 ? 0 : pins_lock_folder(fd, pins, err);
		if (r)
			return r;
	} while (fd < 0 || !pins_is_current_folder(fd, pins->path));
	pins->fd = TAKE_FD(fd);
	return 0;
}

int pins_open_unlocked(struct pins *pins, const char *service, struct error *err)
{
	char root[PATH_MAX - RPD_LABEL_MAX];
	int r = pins_locate(pins, service, false, root, err);

	if (r)
		return r;
	r = pins_open_folder(root, pins, &pins->fd, err);
	return r == PINS_NO_SERVICE ? pins_explain_no_service(pins, err) : r;
}

const char *pins_path(const struct pins *pins, const char *name, char buf[PATH_MAX])
{
	/* The path of an open folder has room for one of our names, which are short. */
	snprintf(buf, PATH_MAX, "%.*s/%s", PATH_MAX - 64, pins->path, name);
	return buf;
}

/* Opens the folder for reading. */
static int pins_open_directory(const struct pins *pins, DIR **ret, struct error *err)
{
	_cleanup_close_ int fd = openat(pins->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*ret = fd < 0 ? NULL : fdopendir(fd);
	if (!*ret)
		return error_set(err, -errno, "can't read %s: %s", pins->path, strerror(errno));
	TAKE_FD(fd); /* closed with it */
	return 0;
}

int pins_check_removable(const struct pins *pins, bool (*is_ours)(const char *name), bool force,
                         struct error *err)
{
	_cleanup_dir_ DIR *dir = NULL;
	struct dirent *entry;
	int r = pins_open_directory(pins, &dir, err);

	while (r == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (entry->d_type == DT_DIR)
			r = error_set(err, -EEXIST,
			              "%s/%s is a folder that reuseportd did not make: remove it",
			              pins->path, entry->d_name);
		else if (!force && !is_ours(entry->d_name))
			r = error_set(
			        err, -EEXIST,
			        "%s/%s is not a pin of reuseportd; --force removes it as well",
			        pins->path, entry->d_name);
	}
	return r;
}

const char *pins_why(int error)
{
	return error == EROFS ? "it is mounted read-only; `mount -o remount,rw /sys/fs/bpf` "
	                        "makes it writable, then repeat the command"
	                      : strerror(error);
}

int pins_remove(struct pins *pins, const char *last, struct error *err)
{
	_cleanup_dir_ DIR *dir = NULL;
	struct dirent *entry;
	char root[PATH_MAX];
	int r = pins_open_directory(pins, &dir, err);

	if (r < 0)
		return r;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || (last && !strcmp(entry->d_name, last)))
			continue;
		if (unlinkat(pins->fd, entry->d_name, 0) < 0)
			return error_set(err, -errno, "can't remove %s/%s: %s", pins->path,
			                 entry->d_name, pins_why(errno));
	}
	if (last && unlinkat(pins->fd, last, 0) < 0 && errno != ENOENT)
		return error_set(err, -errno, "can't remove %s/%s: %s", pins->path, last,
		                 pins_why(errno));
	if (rmdir(pins->path) < 0)
		return error_set(err, -errno, "can't remove %s: %s", pins->path, strerror(errno));
	/* The folder above goes with the last service; not empty is no error. */
	snprintf(root, sizeof(root), "%.*s", (int)(strrchr(pins->path, '/') - pins->path),
	         pins->path);
	rmdir(root);
	return 0;
}

/* close() drops a lock, here as in pins_unlock(). If the folder can't be opened again, flock()
 * does. */
void pins_leave(struct pins *pins)
{
	int fd = openat(pins->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		flock(pins->fd, LOCK_UN);
		return;
	}
	cleanup_close(&pins->fd);
	pins->fd = fd;
}

int pins_relock(struct pins *pins, struct error *err)
{
	int r = pins_lock_folder(pins->fd, pins, err);

	if (r != 0 || pins_is_current_folder(pins->fd, pins->path))
		return r;
	pins_leave(pins);
	return PINS_REPLACED;
}

void pins_unlock(struct pins *pins)
{
	cleanup_close(&pins->fd);
	pins->fd = -1;
}
