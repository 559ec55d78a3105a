/* SPDX-License-Identifier: BSD-2-Clause */
/* What a child needs to know before it is born, for spawn.c only: it can't allocate, nor ask who a
 * user is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "kern/credentials.h"
#include "kern/spawn.h"
#include "base/path_search.h"

#define SPAWN_PID_DIGITS 10

struct spawn_plan {
	const char *path;  /* PATH of the environment; NULL = it has none */
	char **candidates; /* files that may be the program, in the order of PATH */
	char **env;
	char *listen_pid; /* "LISTEN_PID=", and room for the number; or NULL */
	char *pid_digits; /* where that goes; or NULL */
	struct spawn_fd *fds;
	int *moved; /* where they are meanwhile */
	size_t n_fds;
	int first_free; /* above all targets, and 2 */
	int null_fd;
	struct credentials identity;
};

/* @plan has null_fd = -1, and else zeros. */
int spawn_plan_init(struct spawn_plan *plan, const struct spawn_request *request,
                    struct error *err);
void spawn_plan_deinit(struct spawn_plan *plan);
