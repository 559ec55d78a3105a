/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/working_dir.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kern/file_owner.h"

static struct {
	bool is_known, is_trusted;
	char path[PATH_MAX];
} working_dir;

static bool working_dir_is_same(const char *path)
{
	struct stat given, is;

	return stat(path, &given) == 0 && stat(".", &is) == 0 && given.st_dev == is.st_dev &&
	       given.st_ino == is.st_ino;
}

/* Whether a user of the path as given can do no more than a user of the directory itself. */
static bool working_dir_has_owner_of(const char *given, const char *is)
{
	struct file_owner of_given = {}, of_is = {};
	struct error ignored;

	if (file_owner_find_folder(given, &of_given, &ignored) < 0 ||
	    file_owner_find_folder(is, &of_is, &ignored) < 0)
		return false;
	working_dir.is_trusted = of_given.verdict == FILE_TRUST_OURS;
	return working_dir.is_trusted ||
	       (of_given.verdict == FILE_TRUST_USER && of_is.verdict == FILE_TRUST_USER &&
	        of_given.uid == of_is.uid);
}

const char *working_dir_as_given(void)
{
	const char *given = getenv("PWD");
	char is[PATH_MAX];

	if (!working_dir.is_known && given && given[0] == '/' && !strstr(given, "/.") &&
	    strlen(given) < sizeof(working_dir.path) && getcwd(is, sizeof(is)) &&
	    strcmp(given, is) != 0 && working_dir_is_same(given) &&
	    working_dir_has_owner_of(given, is))
		strcpy(working_dir.path, given);
	working_dir.is_known = true;
	return working_dir.path[0] ? working_dir.path : NULL;
}

void working_dir_follow(void)
{
	/* If the link leads nowhere, the directory stays as it is. */
	if (working_dir.is_trusted && working_dir.path[0] && chdir(working_dir.path) < 0)
		return;
}
