/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/file_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LINKS_MAX 40 /* as in the kernel */

struct file_owner_walk {
	struct file_trust trust;
	struct file_owner *owner;
	int at;              /* the folder that the walk has reached */
	char is[PATH_MAX];   /* its path, for the message */
	char rest[PATH_MAX]; /* the path from there to the file */
	unsigned int n_links;
};

static int file_owner_enter(struct file_owner_walk *walk, int fd)
{
	if (fd < 0)
		return -errno;
	cleanup_close(&walk->at);
	walk->at = fd;
	return 0;
}

/* Puts the target of the link before the rest of the path. */
static int file_owner_follow(struct file_owner_walk *walk, int link)
{
	char target[PATH_MAX], rest[PATH_MAX];
	const ssize_t n = readlinkat(link, "", target, sizeof(target));

	if (n < 0)
		return -errno;
	if (++walk->n_links > LINKS_MAX)
		return -ELOOP;
	strcpy(rest, walk->rest);
	if (snprintf(walk->rest, sizeof(walk->rest), "%.*s/%s", (int)n, target, rest) >=
	    (int)sizeof(walk->rest))
		return -ENAMETOOLONG;
	if (target[0] != '/')
		return 0;
	walk->is[0] = '\0';
	return file_owner_enter(walk, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static void file_owner_judge(struct file_owner_walk *walk, const struct stat *st, const char *name)
{
	const size_t n = strlen(walk->is);

	if (file_trust_add(&walk->trust, st->st_uid, st->st_gid, st->st_mode))
		snprintf(walk->owner->where, sizeof(walk->owner->where), "%.*s/%s", (int)n,
		         walk->is, name);
}

/* Takes the first name off the rest of the path. */
static void file_owner_take_name(struct file_owner_walk *walk, char name[NAME_MAX + 1])
{
	const char *from = walk->rest + strspn(walk->rest, "/");
	const size_t n = strcspn(from, "/");

	snprintf(name, NAME_MAX + 1, "%.*s", (int)n, from);
	memmove(walk->rest, from + n, strlen(from + n) + 1);
}

/* The walk has passed the folder above already. */
static int file_owner_leave(struct file_owner_walk *walk)
{
	char *slash = strrchr(walk->is, '/');

	if (slash)
		*slash = '\0';
	return file_owner_enter(walk, openat(walk->at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static int file_owner_step(struct file_owner_walk *walk)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_MAX + 1];
	struct stat st;

	file_owner_take_name(walk, name);
	if (!name[0] || !strcmp(name, "."))
		return 0;
	if (!strcmp(name, ".."))
		return file_owner_leave(walk);
	fd = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	file_owner_judge(walk, &st, name);
	if (S_ISLNK(st.st_mode))
		return file_owner_follow(walk, fd);
	if (strlen(walk->is) + 1 + strlen(name) >= sizeof(walk->is))
		return -ENAMETOOLONG;
	strcat(strcat(walk->is, "/"), name);
	return file_owner_enter(walk, TAKE_FD(fd));
}

static int file_owner_walk_along(struct file_owner_walk *walk, const char *path)
{
	struct stat st;
	int r;

	if (path[0] != '/' && !getcwd(walk->is, sizeof(walk->is)))
		return -errno;
	if (snprintf(walk->rest, sizeof(walk->rest), "%s/%s", walk->is, path) >=
	    (int)sizeof(walk->rest))
		return -ENAMETOOLONG;
	walk->is[0] = '\0';
	r = file_owner_enter(walk, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (r == 0 && fstat(walk->at, &st) == 0)
		file_owner_judge(walk, &st, "");
	while (r == 0 && walk->rest[strspn(walk->rest, "/")])
		r = file_owner_step(walk);
	return r;
}

static void file_owner_name(const struct file_trust *trust, struct file_owner *owner)
{
	const struct passwd *user = getpwuid(trust->uid);

	owner->uid = trust->uid;
	if (user) {
		snprintf(owner->user, sizeof(owner->user), "%s", user->pw_name);
		return;
	}
	snprintf(owner->user, sizeof(owner->user), "%u", trust->uid);
	snprintf(owner->group, sizeof(owner->group), "%u", trust->gid);
}

static int file_owner_find_type(const char *path, mode_t type, const char *name,
                                struct file_owner *ret, struct error *err)
{
	struct file_owner owner = {};
	struct file_owner_walk walk = {.owner = &owner, .at = -1, .trust.self = geteuid()};
	struct stat st;
	const int r = file_owner_walk_along(&walk, path);
	const bool is_it = r == 0 && fstat(walk.at, &st) == 0 && (st.st_mode & S_IFMT) == type;

	cleanup_close(&walk.at);
	if (r < 0) {
		error_usage(err, "can't read '%s': %s", path, strerror(-r));
		return r;
	}
	if (!is_it)
		return error_usage(err, "can't read '%s': it is not a %s", path, name);
	owner.verdict = file_trust_verdict(&walk.trust);
	if (owner.verdict == FILE_TRUST_USER)
		file_owner_name(&walk.trust, &owner);
	*ret = owner;
	return 0;
}

int file_owner_find(const char *path, struct file_owner *ret, struct error *err)
{
	return file_owner_find_type(path, S_IFREG, "regular file", ret, err);
}

int file_owner_find_folder(const char *path, struct file_owner *ret, struct error *err)
{
	return file_owner_find_type(path, S_IFDIR, "folder", ret, err);
}

const char *file_owner_group(const struct file_owner *owner)
{
	return owner->group[0] ? owner->group : NULL;
}
