/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/spawn_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path_search.h"
#include "kern/privileges.h"

#define PATH_START "PATH="
#define PID_START  "LISTEN_PID="

/* --- the program --- */

static const char *spawn_plan_find_path(char *const *env)
{
	for (; *env; env++)
		if (!strncmp(*env, PATH_START, strlen(PATH_START)))
			return *env + strlen(PATH_START);
	return NULL;
}

static int spawn_plan_environment(struct spawn_plan *plan, const struct spawn_request *request)
{
	size_t n = 0, kept = 0;

	while (request->env[n])
		n++;
	plan->env = calloc(n + 2, sizeof(*plan->env));
	if (!plan->env)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!request->listen_pid ||
		    strncmp(request->env[i], PID_START, strlen(PID_START)) != 0)
			plan->env[kept++] = request->env[i];
	if (!request->listen_pid)
		return 0;
	plan->listen_pid = calloc(1, sizeof(PID_START) + SPAWN_PID_DIGITS);
	if (!plan->listen_pid)
		return -ENOMEM;
	plan->pid_digits = stpcpy(plan->listen_pid, PID_START);
	plan->env[kept] = plan->listen_pid;
	return 0;
}

/* --- descriptors --- */

static int spawn_plan_descriptors(struct spawn_plan *plan, const struct spawn_request *request)
{
	bool has_input = false;

	plan->fds = calloc(request->n_fds + 1, sizeof(*plan->fds));
	plan->moved = calloc(request->n_fds + 1, sizeof(*plan->moved));
	if (!plan->fds || !plan->moved)
		return -ENOMEM;
	plan->first_free = STDERR_FILENO + 1;
	for (size_t i = 0; i < request->n_fds; i++) {
		plan->fds[plan->n_fds++] = request->fds[i];
		has_input |= request->fds[i].target == STDIN_FILENO;
		if (request->fds[i].target >= plan->first_free)
			plan->first_free = request->fds[i].target + 1;
	}
	if (has_input)
		return 0;
	plan->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (plan->null_fd < 0)
		return -errno;
	plan->fds[plan->n_fds++] = (struct spawn_fd){plan->null_fd, STDIN_FILENO};
	return 0;
}

void spawn_plan_deinit(struct spawn_plan *plan)
{
	cleanup_close(&plan->null_fd);
	free(plan->candidates);
	free(plan->env);
	free(plan->listen_pid);
	free(plan->fds);
	free(plan->moved);
	credentials_deinit(&plan->identity);
}

/* Also of what stops the process later: otherwise a worker is started that can't be stopped. */
static int spawn_plan_check_privileges(const struct spawn_plan *plan,
                                       const struct spawn_request *request, struct error *err)
{
	char missing[128];

	if (!plan->identity.set_user || plan->identity.uid == geteuid() ||
	    privileges_check_other_user(missing, sizeof(missing)) != 0)
		return 0;
	return error_set(err, -EPERM,
	                 "can't start '%s' as user %s: missing: %s\n"
	                 "run as root, or give reuseportd CAP_SETUID, CAP_SETGID, CAP_KILL and "
	                 "CAP_CHOWN",
	                 request->argv[0], request->user, missing);
}

int spawn_plan_init(struct spawn_plan *plan, const struct spawn_request *request, struct error *err)
{
	int r;

	plan->path = spawn_plan_find_path(request->env);
	plan->candidates = path_search_candidates(
	        request->program ? request->program : request->argv[0], plan->path);
	r = plan->candidates ? spawn_plan_environment(plan, request) : -ENOMEM;
	if (r == 0)
		r = spawn_plan_descriptors(plan, request);
	if (r < 0)
		return error_set(err, r, "can't start '%s': %s", request->argv[0], strerror(-r));
	r = credentials_take(&plan->identity, request->user, request->group, request->identity,
	                     err);
	return r < 0 ? r : spawn_plan_check_privileges(plan, request, err);
}
