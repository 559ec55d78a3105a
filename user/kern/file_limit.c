/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/file_limit.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* Enough to start a few workers at the same time: a supervisor needs as many, and clients don't get
 * them. */
#define RESERVE 96

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

int file_limit_check(struct error *err)
{
	struct rlimit now;

	if (getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_cur >= RESERVE)
		return 0;
	return error_set(
	        err, -EMFILE,
	        "the limit of open files is %ju; at least %d are needed, and about five for "
	        "each worker\nraise it: ulimit -n, LimitNOFILE=",
	        (uintmax_t)now.rlim_cur, RESERVE);
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
