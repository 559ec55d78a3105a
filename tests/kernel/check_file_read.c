/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/file_read and kern/file_rights: which files are read, and the rights for it. Needs root. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "check/check.h"
#include "check/folder.h"
#include "kern/file_read.h"
#include "kern/file_rights.h"

#define NOBODY 65534
#define OTHER  65533

/* A path in the case's folder; the next call but one reuses it. */
static const char *in(const char *name)
{
	static char paths[2][128];
	static int at;

	at = !at;
	snprintf(paths[at], sizeof(paths[at]), "%s/%s", folder_path(), name);
	return paths[at];
}

static void make_file(const char *name, const char *text, uid_t uid, mode_t mode)
{
	_cleanup_close_ int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	CHECK(fchmod(fd, mode) == 0 && fchown(fd, uid, uid) == 0);
}

static void whole_files(void)
{
	_cleanup_free_ char *text = NULL, *empty = NULL;
	struct error err;
	size_t size;

	make_file("file", "A=1\n", 0, 0600);
	CHECK_EQ(file_read(in("file"), 4, &text, &size, &err), 0);
	CHECK(size == 4 && !strcmp(text, "A=1\n"));
	make_file("empty", "", 0, 0600);
	CHECK_EQ(file_read(in("empty"), 4, &empty, NULL, &err), 0);
	CHECK(!strcmp(empty, ""));
}

/* Returns the reason why the file is not read. */
static const char *refusal(const char *path)
{
	static struct error err;
	_cleanup_free_ char *text = NULL;
	char head[16] = "x";

	err.text[0] = '\0';
	CHECK(file_read(path, 1 << 20, &text, NULL, &err) < 0 && !text);
	CHECK_EQ(err.status, EXIT_USAGE);
	if (!strstr(err.text, "larger"))
		CHECK(file_read_head(AT_FDCWD, path, head, sizeof(head)) < 0 && !head[0]);
	return err.text;
}

/* None of these makes us wait. */
static void other_than_regular_files(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(mkfifo(in("fifo"), 0600) == 0);
	CHECK(strstr(refusal(in("fifo")), "it is not a regular file"));
	CHECK(strstr(refusal(folder_path()), "it is not a regular file"));
	CHECK(strstr(refusal("/dev/zero"), "it is not a regular file"));
	CHECK(symlink(in("fifo"), in("link")) == 0);
	CHECK(strstr(refusal(in("link")), "it is not a regular file"));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", in("socket"));
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(strstr(refusal(in("socket")), "No such device or address"));
	CHECK(strstr(refusal(in("missing")), "No such file"));
}

static void large_files(void)
{
	make_file("file", "", 0, 0600);
	CHECK(truncate(in("file"), 500 << 20) == 0);
	CHECK(strstr(refusal(in("file")), "it is larger than 1 MB"));
}

/* A link of /proc leads to an open file, past the folders above it. */
static void links_to_open_files(void)
{
	_cleanup_close_ int fd = -1;
	char path[32];

	make_file("file", "A=1\n", 0, 0600);
	fd = open(in("file"), O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(strstr(refusal(path), "Too many levels of symbolic links"));
}

static void heads(void)
{
	_cleanup_close_ int folder = open(folder_path(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	char head[5];

	make_file("script", "#!/bin/sh\n", 0, 0600);
	CHECK_EQ(file_read_head(folder, "script", head, sizeof(head)), 4);
	CHECK(!strcmp(head, "#!/b"));
}

/* --- rights */

static struct credentials user(uid_t uid, gid_t *group)
{
	return (struct credentials){.set_user = true,
	                            .set_group = true,
	                            .uid = uid,
	                            .gid = *group,
	                            .groups = group,
	                            .n_groups = 1};
}

static bool can_read(const char *name)
{
	char head[2];

	return file_read_head(AT_FDCWD, in(name), head, sizeof(head)) >= 0;
}

static void rights_of_a_user(void)
{
	const gid_t groups[] = {0, 4};
	gid_t group = NOBODY;
	const struct credentials id = user(NOBODY, &group);
	struct file_rights own = {};

	CHECK(setgroups(2, groups) == 0);
	make_file("roots", "x", 0, 0600);
	make_file("groups", "x", 0, 0640);
	CHECK(chown(in("groups"), 0, 4) == 0);
	make_file("users", "x", NOBODY, 0600);
	CHECK_EQ(file_rights_assume(&own, &id), 0);
	CHECK(own.assumed && can_read("users") && !can_read("roots") && !can_read("groups"));
	file_rights_restore(&own);
	CHECK(can_read("users") && can_read("roots") && getgroups(0, NULL) == 2);
	file_rights_restore(&own); /* has no effect */
}

static void our_own_rights(void)
{
	gid_t group = 0;
	const struct credentials ours = user(0, &group), none = {};
	struct file_rights own = {};

	CHECK_EQ(file_rights_assume(&own, &ours), 0);
	CHECK(!own.assumed);
	CHECK_EQ(file_rights_assume(&own, &none), 0);
	CHECK(!own.assumed);
}

static void set_capabilities(uint32_t mask)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct data[2] = {{.effective = mask, .permitted = mask}};

	CHECK(syscall(SYS_capset, &header, data) == 0);
}

/* A supervisor that is not root, but may read every file. */
static void without_our_capabilities(void)
{
	gid_t group = NOBODY;
	const struct credentials id = user(NOBODY, &group);
	struct file_rights own = {};

	make_file("roots", "x", 0, 0600);
	CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && setresuid(OTHER, OTHER, OTHER) == 0);
	set_capabilities(1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_DAC_READ_SEARCH);
	CHECK(can_read("roots"));
	CHECK_EQ(file_rights_assume(&own, &id), 0);
	CHECK(!can_read("roots"));
	file_rights_restore(&own);
	CHECK(can_read("roots") && file_rights_may_assume());
}

static void without_the_right_to(void)
{
	gid_t group = NOBODY;
	const struct credentials id = user(NOBODY, &group);
	struct file_rights own = {};

	CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && setresuid(OTHER, OTHER, OTHER) == 0);
	set_capabilities(1u << CAP_SETGID);
	CHECK_EQ(file_rights_assume(&own, &id), -EPERM);
	CHECK(!own.assumed && !file_rights_may_assume());
	CHECK((uid_t)setfsuid((uid_t)-1) == OTHER && (gid_t)setfsgid((gid_t)-1) == 0);
	set_capabilities(0);
	CHECK_EQ(file_rights_assume(&own, &id), -EPERM);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(whole_files),
	        CHECK_CASE(other_than_regular_files),
	        CHECK_CASE(large_files),
	        CHECK_CASE(links_to_open_files),
	        CHECK_CASE(heads),
	        CHECK_CASE(rights_of_a_user),
	        CHECK_CASE(our_own_rights),
	        {.name = "without_our_capabilities",
	         .run = without_our_capabilities,
	         .apart = true},
	        {.name = "without_the_right_to", .run = without_the_right_to, .apart = true},
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
