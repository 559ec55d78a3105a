/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting a worker, in its cgroup, with only the descriptors that are meant for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spawn_fd {
	int fd;     /* our descriptor */
	int target; /* its number in the worker */
};

struct spawn_request {
	const char *program; /* is searched along PATH of env, or the default path; NULL = argv[0]
	                      */
	char *const *argv;
	char *const *env; /* complete: NAME=VALUE, NULL-terminated */
	const char *cwd;  /* NULL = ours */
	/* Names or numbers; NULL = ours. A user gets all its groups; a group alone is the only
	 * group. */
	const char *user, *group;
	const char *identity; /* of both, by credentials_format(); NULL = the user database tells */
	int cgroup;           /* directory descriptor, -1 = ours */
	/* All other descriptors are closed, except 1 and 2; 0 is /dev/null unless it is a target.
	 * A target may be the number of one of our descriptors. */
	const struct spawn_fd *fds;
	size_t n_fds;
	bool listen_pid; /* set LISTEN_PID to the worker's own pid */
	/* The program and its children never have a capability, also as root, and end with this
	 * process. Where we may make a PID namespace, its children also end with the program; where
	 * not, kill its process group. */
	bool confined;
};

/*
 * Searches program @name as spawn_start() does: along @path (the value of PATH; NULL = default),
 * with relative paths from @cwd (NULL = ours). Fails as spawn_start() would if the program doesn't
 * exist, or if no user may execute it. A file that we may not see is no failure: the worker may be
 * allowed to.
 */
int spawn_check_program(const char *name, const char *path, const char *cwd, struct error *err);

/*
 * Starts the program in a session of its own, with default signals and an empty signal mask.
 * Returns its pid; *ret_pidfd is the caller's to close. Also fails if exec(), or a step before it
 * in the child, fails; its process is killed then. A child that sleeps before exec() for more than
 * 0.1 s counts as started: its user can delay it. @err has the command, the reason and what to do.
 */
int spawn_start(const struct spawn_request *request, int *ret_pidfd, struct error *err);
