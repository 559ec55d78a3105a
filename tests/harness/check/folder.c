/* SPDX-License-Identifier: BSD-2-Clause */
#include "check/folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "check/check.h"

#define FOLDER_TEMPLATE "/tmp/reuseportd-check-XXXXXX"

static char folder[] = FOLDER_TEMPLATE;
static bool is_made;

/* Detached, since processes of a case that failed may still have files open. */
static void folder_remove(void)
{
	umount2(folder, MNT_DETACH);
	rmdir(folder);
	is_made = false;
}

const char *folder_path(void)
{
	if (is_made)
		return folder;
	strcpy(folder, FOLDER_TEMPLATE);
	CHECK_MSG(mkdtemp(folder), "%s: %s", folder, strerror(errno));
	is_made = true;
	check_at_end(folder_remove);
	CHECK_MSG(mount("tmpfs", folder, "tmpfs", 0, "mode=755") == 0, "tmpfs on %s: %s", folder,
	          strerror(errno));
	return folder;
}
