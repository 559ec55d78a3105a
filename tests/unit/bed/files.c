/* SPDX-License-Identifier: BSD-2-Clause */
#include "bed/files.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char files_folder[] = "/tmp/reuseportd-unit-XXXXXX";

int files_setup(void **state)
{
	/* Other users may read the files. */
	return mkdtemp(files_folder) && chdir(files_folder) == 0 && chmod(".", 0755) == 0 ? 0 : -1;
}

static int files_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int files_teardown(void **state)
{
	return nftw(files_folder, files_remove, 8, FTW_DEPTH | FTW_PHYS);
}

void files_programs(const char *const *names)
{
	for (; *names; names++) {
		FILE *file = fopen(*names, "w");

		if (!file || fchmod(fileno(file), 0755) < 0 || fclose(file) != 0)
			abort();
	}
	setenv("PATH", files_folder, 1);
}

void files_write(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	if (!file || fputs(text, file) < 0 || fclose(file) != 0)
		abort();
}
