/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/statfs.h>

#include "base/cleanup.h"
#include "base/memory.h"

/* Decodes the escapes of mountinfo, a backslash and three octal digits, in place. */
static void mounts_unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		if (*from == '\\' && strspn(from + 1, "01234567") >= 3) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

char *mounts_parse_line(char *line, const char *type)
{
	char *rest = line, *path, *fstype;

	for (int field = 0; field < 4; field++)
		strsep(&rest, " ");
	path = strsep(&rest, " ");
	rest = rest ? strstr(rest, " - ") : NULL;
	if (!rest)
		return NULL;
	rest += strlen(" - ");
	fstype = strsep(&rest, " ");
	if (strcmp(fstype, type) != 0)
		return NULL;
	mounts_unescape(path);
	return path;
}

/* Finds the mount of @type at @preferred, or else the first one. Skips a mount that another one
 * hides: its path then leads to another file system than @magic. */
static int mounts_find(const char *type, unsigned long magic, const char *preferred, char *ret_path,
                       size_t n)
{
	_cleanup_file_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	char found[PATH_MAX] = "";
	size_t size = 0;

	if (!mounts)
		return -errno;
	while (memory_getdelim(&line, &size, '\n', mounts) >= 0) {
		char *path = mounts_parse_line(line, type);
		struct statfs fs;

		if (path && (!found[0] || strcmp(path, preferred) == 0) && statfs(path, &fs) == 0 &&
		    (unsigned long)fs.f_type == magic)
			snprintf(found, sizeof(found), "%s", path);
	}
	if (!found[0])
		return MOUNTS_NONE;
	if (strlen(found) >= n)
		return -ENAMETOOLONG;
	strcpy(ret_path, found);
	return 0;
}

int mounts_find_cgroup2(char *ret_path, size_t n)
{
	return mounts_find("cgroup2", CGROUP2_SUPER_MAGIC, "/sys/fs/cgroup", ret_path, n);
}

int mounts_require_cgroup2(char *ret_path, size_t n, struct error *err)
{
	int r = mounts_find_cgroup2(ret_path, n);

	if (r == MOUNTS_NONE)
		return error_set(err, -ENOENT,
		                 "cgroup2 is needed, but it is not mounted\n"
		                 "mount it: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	return r < 0 ? error_set(err, r, "can't find the mount of cgroup2: %s", strerror(-r)) : 0;
}

int mounts_find_bpffs(char *ret_path, size_t n)
{
	return mounts_find("bpf", BPF_FS_MAGIC, "/sys/fs/bpf", ret_path, n);
}
