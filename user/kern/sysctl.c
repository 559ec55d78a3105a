/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/sysctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/cleanup.h"

int sysctl_read_int(const char *name, int *ret)
{
	_cleanup_file_ FILE *file = NULL;
	char path[PATH_MAX];
	int value;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%d", &value) != 1)
		return -EINVAL;
	*ret = value;
	return 0;
}
