/* SPDX-License-Identifier: BSD-2-Clause */
/* What a child needs, prepared in the parent: the child can neither allocate memory nor look up a
 * user. For spawn.c only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "kern/credentials.h"
#include "kern/spawn.h"

#define SPAWN_PID_DIGITS 10

struct spawn_plan {
	const char *path;  /* PATH of the environment; NULL = not set */
	char **candidates; /* base/path_search.h */
	char **env;
	char *listen_pid; /* "LISTEN_PID=" with room for the number; or NULL */
	char *pid_digits; /* points to that number in listen_pid; or NULL */
	struct spawn_fd *fds;
	int *moved; /* temporary numbers of the descriptors */
	size_t n_fds;
	int first_free; /* above all targets and 2 */
	int null_fd;
	struct credentials identity;
};

/* Prepares the plan. @plan must have null_fd = -1, and be zero otherwise. The caller calls
 * spawn_plan_deinit(), also after a failure. */
int spawn_plan_init(struct spawn_plan *plan, const struct spawn_request *request,
                    struct error *err);
void spawn_plan_deinit(struct spawn_plan *plan);
