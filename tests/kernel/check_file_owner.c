/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/file_owner: along folders and links. Needs root. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "check/check.h"
#include "check/folder.h"
#include "kern/file_owner.h"

#define USER  12345 /* without an entry in the user database */
#define OTHER 12346

/* The folder of the case is the working directory of these cases. */
static void make_file(const char *path, uid_t uid)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && fchown(fd, uid, uid) == 0);
}

static void make_folder(const char *path, uid_t uid)
{
	CHECK(mkdir(path, 0755) == 0 && chown(path, uid, uid) == 0);
}

static void make_link(const char *target, const char *path, uid_t uid)
{
	CHECK(symlink(target, path) == 0 && lchown(path, uid, uid) == 0);
}

/* Fails unless @where, a path in the case's folder, has decided the verdict. */
static void expect(const char *path, enum file_trust_verdict verdict, const char *where)
{
	struct file_owner owner;
	struct error err;
	char full[PATH_MAX] = "";

	CHECK_MSG(file_owner_find(path, &owner, &err) == 0, "%s", err.text);
	CHECK_MSG(owner.verdict == verdict, "%s: verdict %d, by %s", path, owner.verdict,
	          owner.where);
	if (where)
		snprintf(full, sizeof(full), "%s/%s", folder_path(), where);
	CHECK_MSG(!strcmp(owner.where, full), "%s: %s", path, owner.where);
	if (verdict == FILE_TRUST_USER)
		CHECK(owner.uid == USER && !strcmp(owner.user, "12345") &&
		      !strcmp(owner.group, "12345"));
}

static void without_links(void)
{
	CHECK(chdir(folder_path()) == 0);
	make_folder("app", USER);
	make_file("app/conf", 0);
	make_file("conf", 0);
	make_file("theirs", USER);
	make_file("app/other", OTHER);
	expect("conf", FILE_TRUST_OURS, NULL);
	expect("./app/../conf", FILE_TRUST_USER, "app"); /* as this user can make it a link */
	expect("app//conf", FILE_TRUST_USER, "app");
	expect("theirs", FILE_TRUST_USER, "theirs");
	expect("app/other", FILE_TRUST_SEVERAL, "app/other");
	CHECK(chdir("app") == 0);
	expect("conf", FILE_TRUST_USER, "app");
	CHECK(chdir("..") == 0 && chmod("conf", 0664) == 0);
	expect("conf", FILE_TRUST_MANY, "conf");
}

static void along_links(void)
{
	char path[128];

	CHECK(chdir(folder_path()) == 0);
	make_folder("app", USER);
	make_folder("safe", 0);
	make_file("safe/conf", 0);
	make_file("app/conf", USER);
	make_link("safe/conf", "link", 0);
	make_link("../safe/conf", "app/link", USER);
	make_link("app/link", "to-link", 0);
	snprintf(path, sizeof(path), "%s/safe", folder_path());
	make_link(path, "folder", 0);
	make_link("loop", "loop", 0);
	expect("link", FILE_TRUST_OURS, NULL);
	expect("folder/conf", FILE_TRUST_OURS, NULL);
	expect("app/link", FILE_TRUST_USER, "app");
	expect("to-link", FILE_TRUST_USER, "app");
}

static void without_a_file(void)
{
	static const struct {
		const char *path, *why;
	} cases[] = {
	        {"missing", "No such file"},
	        {"file/x", "Not a directory"},
	        {"loop", "Too many levels"},
	};
	struct file_owner owner;
	struct error err;

	CHECK(chdir(folder_path()) == 0);
	make_file("file", 0);
	make_link("loop", "loop", 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK(file_owner_find(cases[i].path, &owner, &err) < 0);
		CHECK_EQ(err.status, EXIT_USAGE);
		CHECK_MSG(strstr(err.text, cases[i].why), "%s", err.text);
	}
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        {.name = "without_links", .run = without_links, .apart = true},
	        {.name = "along_links", .run = along_links, .apart = true},
	        {.name = "without_a_file", .run = without_a_file, .apart = true},
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
