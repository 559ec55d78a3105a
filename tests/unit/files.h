/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder of its own for a test program, in which the tests run, with small files. */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char files_folder[] = "/tmp/reuseportd-unit-XXXXXX";

/* cmocka's setup and teardown of the group. */
static inline int files_setup(void **state)
{
	return mkdtemp(files_folder) && chdir(files_folder) == 0 ? 0 : -1;
}

static inline int files_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline int files_teardown(void **state)
{
	return nftw(files_folder, files_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* Programs of these names, a NULL at the end, that PATH leads to. */
static inline void files_programs(const char *const *names)
{
	for (; *names; names++) {
		FILE *file = fopen(*names, "w");

		if (!file || fchmod(fileno(file), 0755) < 0 || fclose(file) != 0)
			abort();
	}
	setenv("PATH", files_folder, 1);
}

static inline void files_write(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	if (!file || fputs(text, file) < 0 || fclose(file) != 0)
		abort();
}
