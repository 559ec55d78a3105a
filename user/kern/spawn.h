/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting a worker: born in its cgroup, with just the descriptors that are meant for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/file_limit.h"

struct spawn_fd {
	int fd;     /* of ours */
	int target; /* its number there */
};

struct spawn_request {
	char *const *argv; /* found along PATH of env, or the usual directories */
	char *const *env;  /* complete: NAME=VALUE, NULL-terminated */
	const char *cwd;   /* NULL = ours */
	/* NULL = ours; names or numbers. A user has all its groups; a group alone has no others
	 * with it. */
	const char *user, *group;
	int cgroup; /* directory descriptor, -1 = ours */
	/* All others are closed, but 1 and 2; 0 is /dev/null if it is none of these. Targets may be
	 * numbers that our fds have. */
	const struct spawn_fd *fds;
	size_t n_fds;
	bool listen_pid; /* set LISTEN_PID to the worker's own pid */
};

/*
 * Looks for program @name as spawn_start() does: along @path (as PATH; NULL = there is no such
 * variable), what is relative from @cwd (NULL = ours). Fails with what spawn_start() would say if
 * it isn't there, or can be executed by nobody. Of what is closed to us nothing can be told: it may
 * be open to the worker.
 */
int spawn_check_program(const char *name, const char *path, const char *cwd, struct error *err);

/*
 * Starts it, in a session of its own, with default signals and an empty mask. Returns its pid;
 * *ret_pidfd is the caller's to close. Fails, with the command, the errno and what to do in @err,
 * also if exec() or what comes before it in the child does: nothing is left then.
 */
int spawn_start(const struct spawn_request *request, int *ret_pidfd, struct error *err);
