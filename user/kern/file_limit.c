/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/file_limit.h"

#include <stddef.h>
#include <sys/resource.h>

/* Descriptors that clients don't get: enough to start a few workers at the same time. */
#define RESERVE 64

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

/* The kernel gives the lowest number that is free. Under a low limit the reserve is smaller. */
bool file_limit_is_near(int fd)
{
	struct rlimit now;
	rlim_t reserve;

	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return false;
	reserve = now.rlim_cur / 4 < RESERVE ? now.rlim_cur / 4 : RESERVE;
	return (rlim_t)fd >= now.rlim_cur - reserve;
}
