/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/log_file: as which user a log file is made, and which files are refused. Needs root. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "check/check.h"
#include "check/folder.h"
#include "kern/credentials.h"
#include "kern/log_file.h"

#define NOBODY 65534

/* A folder in that of the case. */
struct place {
	char path[64];
};

static struct place place_make(uid_t owner, mode_t mode)
{
	struct place p;

	snprintf(p.path, sizeof(p.path), "%s/XXXXXX", folder_path());
	CHECK(mkdtemp(p.path) && chown(p.path, owner, owner) == 0 && chmod(p.path, mode) == 0);
	return p;
}

static const char *in(const struct place *p, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", p->path, name);
	return path;
}

static int open_for(const char *user, const char *path)
{
	_cleanup_(credentials_deinit) struct credentials id = {0};
	struct error err;
	int r = credentials_find(&id, user, NULL, &err);

	return r < 0 ? r : log_file_open(path, &id, &err);
}

static bool belongs_to(const char *path, uid_t uid)
{
	struct stat st;

	return lstat(path, &st) == 0 && st.st_uid == uid;
}

/* Whether this process still is root, with its groups. */
static bool is_ourselves(void)
{
	struct place p = place_make(0, 0700);
	_cleanup_close_ int fd = open(in(&p, "mine"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd >= 0 && belongs_to(in(&p, "mine"), 0) && getgroups(0, NULL) == 2;
}

static void user_makes_the_file(void)
{
	const gid_t groups[] = {0, 4};
	struct place p = place_make(NOBODY, 0755);
	_cleanup_close_ int fd = -1;

	CHECK(setgroups(2, groups) == 0);
	fd = open_for("65534", in(&p, "a/b/log"));
	CHECK(fd >= 0 && write(fd, "x\n", 2) == 2);
	CHECK(fcntl(fd, F_GETFL) & O_APPEND && fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK(belongs_to(in(&p, "a"), NOBODY) && belongs_to(in(&p, "a/b"), NOBODY) &&
	      belongs_to(in(&p, "a/b/log"), NOBODY));
	CHECK(is_ourselves());
}

/* As in /var/log, where the user may not make files. */
static void root_makes_the_file(void)
{
	struct place p = place_make(0, 0755);
	_cleanup_close_ int fd = open_for("65534", in(&p, "a/b/log"));

	CHECK(fd >= 0 && write(fd, "x\n", 2) == 2);
	CHECK(belongs_to(in(&p, "a"), NOBODY) && belongs_to(in(&p, "a/b"), NOBODY));
}

/* A symbolic link that the user made to root's files is not followed. */
static void files_of_others_are_refused(void)
{
	struct place p = place_make(NOBODY, 0755);
	struct place roots = place_make(0, 0755);
	char target[128];
	_cleanup_close_ int file = -1;

	snprintf(target, sizeof(target), "%s", in(&roots, "file"));
	file = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	CHECK(file >= 0 && symlink(target, in(&p, "log")) == 0);
	CHECK(open_for("65534", in(&p, "log")) == -EACCES);
	CHECK(symlink(roots.path, in(&p, "folder")) == 0);
	CHECK(open_for("65534", in(&p, "folder/log")) == -EACCES);
	CHECK(open_for("65534", in(&p, "folder/more/log")) == -EACCES);
	/* Nor is root's file used that the user has moved or linked into the folder. */
	CHECK(link(target, in(&p, "hard")) == 0);
	CHECK(open_for("65534", in(&p, "hard")) == -EACCES);
	CHECK(access(in(&roots, "log"), F_OK) < 0 && access(in(&roots, "more"), F_OK) < 0);
}

/* An access control list lets the user change root's folder: what is there may have been moved or
 * linked there by this user. */
static void folder_with_access_list(void)
{
	static const struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[5];
	} list = {{POSIX_ACL_XATTR_VERSION},
	          {{ACL_USER_OBJ, 7, ACL_UNDEFINED_ID},
	           {ACL_USER, 7, NOBODY},
	           {ACL_GROUP_OBJ, 5, ACL_UNDEFINED_ID},
	           {ACL_MASK, 7, ACL_UNDEFINED_ID},
	           {ACL_OTHER, 5, ACL_UNDEFINED_ID}}};
	struct place p = place_make(0, 0755);
	_cleanup_close_ int file = open(in(&p, "log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	CHECK(file >= 0);
	if (setxattr(p.path, "system.posix_acl_access", &list, sizeof(list), 0) < 0)
		check_skip("the file system has no access control lists");
	CHECK(open_for("65534", in(&p, "log")) == -EACCES);
	CHECK(is_ourselves());
}

/* Root without CAP_DAC_OVERRIDE, as in the systemd unit. */
static void run_without_override(int fd)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	shared->error = -1;
	if (syscall(SYS_capget, &header, data) == 0) {
		data[0].effective &= ~(1u << CAP_DAC_OVERRIDE);
		data[0].permitted &= ~(1u << CAP_DAC_OVERRIDE);
		if (syscall(SYS_capset, &header, data) == 0)
			shared->error = open_for("65534", shared->text);
	}
	shared->stop = true;
}

static void without_dac_override(void)
{
	struct place p = place_make(NOBODY, 0755);

	snprintf((char *)shared->text, sizeof(shared->text), "%s", in(&p, "a/log"));
	children_start(run_without_override, -1);
	CHECK_UNTIL(shared->stop);
	CHECK(shared->error >= 0 && belongs_to(in(&p, "a/log"), NOBODY));
}

static void fifo_is_refused(void)
{
	struct place p = place_make(0, 0755);

	CHECK(mkfifo(in(&p, "fifo"), 0600) == 0);
	CHECK(open_for(NULL, in(&p, "fifo")) == -ENXIO);
}

static void file_of_our_own_user(void)
{
	struct place p = place_make(NOBODY, 0755);
	_cleanup_close_ int fd = open_for(NULL, in(&p, "a/log"));

	CHECK(fd >= 0 && belongs_to(in(&p, "a"), 0) && belongs_to(in(&p, "a/log"), 0));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(user_makes_the_file),         CHECK_CASE(root_makes_the_file),
	        CHECK_CASE(files_of_others_are_refused), CHECK_CASE(folder_with_access_list),
	        CHECK_CASE(without_dac_override),        CHECK_CASE(fifo_is_refused),
	        CHECK_CASE(file_of_our_own_user),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
