/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fails one allocation of reuseportd, for LD_PRELOAD. Environment:
 *   OOM_AT=N         fails allocation N of the process, counted from 1
 *   OOM_COUNT=FILE   at the end of the process, writes the number of its allocations
 * Other programs, which inherit the environment, are left alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static unsigned long fail_at, n_allocations;
static int is_ours;

__attribute__((constructor)) static void oom_begin(void)
{
	const char *at = getenv("OOM_AT");

	is_ours = !strcmp(program_invocation_short_name, "reuseportd");
	fail_at = at ? strtoul(at, NULL, 10) : 0;
}

__attribute__((destructor)) static void oom_end(void)
{
	const char *path = getenv("OOM_COUNT");
	FILE *out = is_ours && path ? fopen(path, "w") : NULL;

	if (out) {
		fprintf(out, "%lu\n", n_allocations);
		fclose(out);
	}
}

static int oom_is_short(void)
{
	if (!is_ours || __atomic_add_fetch(&n_allocations, 1, __ATOMIC_RELAXED) != fail_at)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return oom_is_short() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return oom_is_short() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return oom_is_short() ? NULL : __libc_realloc(p, size);
}
