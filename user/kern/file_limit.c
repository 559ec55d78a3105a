/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/file_limit.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>

/* The limit before it was raised; a process has one. */
static struct rlimit before;
static bool is_raised;

void file_limit_raise(void)
{
	struct rlimit raised;

	if (is_raised || getrlimit(RLIMIT_NOFILE, &before) < 0)
		return;
	raised = before;
	raised.rlim_cur = raised.rlim_max;
	is_raised = setrlimit(RLIMIT_NOFILE, &raised) == 0;
}

void file_limit_restore(void)
{
	if (is_raised && setrlimit(RLIMIT_NOFILE, &before) == 0)
		is_raised = false;
}
