/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/spawn_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define PATH_START   "PATH="
#define PID_START    "LISTEN_PID="

/* --- the program --- */

/* The files that @name may be along @path, in one piece of memory. */
static char **find_candidates(const char *name, const char *path)
{
	const bool is_path = strchr(name, '/') != NULL;
	size_t n = 1, each;
	char **list, *text;

	for (const char *c = path; !is_path && *c; c++)
		n += *c == ':';
	each = (is_path ? 0 : strlen(path)) + 1 + strlen(name) + 1;
	list = calloc(n + 1, sizeof(*list) + each);
	if (!list)
		return NULL;
	text = (char *)(list + n + 1);
	if (is_path) {
		list[0] = strcpy(text, name);
		return list;
	}
	for (size_t i = 0; i < n; i++, text += each) {
		const int length = (int)strcspn(path, ":");

		/* An empty part is the current directory. */
		snprintf(text, each, "%.*s%s%s", length, path, length ? "/" : "./", name);
		list[i] = text;
		path += length + 1;
	}
	return list;
}

static const char *find_path(char *const *env)
{
	for (; *env; env++)
		if (!strncmp(*env, PATH_START, strlen(PATH_START)))
			return *env + strlen(PATH_START);
	return DEFAULT_PATH;
}

static int plan_environment(struct spawn_plan *plan, const struct spawn_request *request)
{
	size_t n = 0, kept = 0;

	while (request->env[n])
		n++;
	plan->env = calloc(n + 2, sizeof(*plan->env));
	if (!plan->env)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!request->listen_pid || strncmp(request->env[i], PID_START, strlen(PID_START)))
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

static int plan_descriptors(struct spawn_plan *plan, const struct spawn_request *request)
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

/* --- who it is --- */

static bool parse_id(const char *text, unsigned int *ret)
{
	long value;

	/* -1 means "no change" to the kernel. */
	if (parse_long(text, 0, (long)UINT_MAX - 1, &value) < 0)
		return false;
	*ret = (unsigned int)value;
	return true;
}

/* All groups of a user, @gid among them. */
static int find_groups(const char *user, gid_t gid, struct spawn_identity *id)
{
	gid_t *groups = NULL;
	int room = 32, n;

	for (;; room *= 2) {
		gid_t *more = reallocarray(groups, (size_t)room, sizeof(*groups));

		if (!more) {
			free(groups);
			return -ENOMEM;
		}
		groups = more;
		n = room;
		if (getgrouplist(user, gid, groups, &n) >= 0)
			break;
	}
	id->groups = groups;
	id->n_groups = n;
	return 0;
}

static int plan_group(struct spawn_identity *id, const char *name, struct error *err)
{
	const struct group *group;

	if (!name)
		return 0;
	group = getgrnam(name);
	if (group)
		id->gid = group->gr_gid;
	else if (!parse_id(name, &id->gid))
		return error_usage(err, "there is no group '%s'", name);
	id->set_group = true;
	return 0;
}

static int plan_user(struct spawn_identity *id, const char *name, struct error *err)
{
	const struct passwd *user = getpwnam(name);

	if (user)
		id->uid = user->pw_uid;
	else if (!parse_id(name, &id->uid))
		return error_usage(err, "there is no user '%s'", name);
	id->set_user = true;
	if (!user)
		user = getpwuid(id->uid);
	if (user && !id->set_group)
		id->gid = user->pw_gid;
	else if (!id->set_group)
		return error_usage(err,
		                   "user %s has no entry in the user database, so its group isn't "
		                   "known: name one with --group",
		                   name);
	id->set_group = true;
	return user ? find_groups(user->pw_name, id->gid, id) : 0;
}

/* A user comes with all its groups; a group alone leaves none but itself. */
static int plan_identity(struct spawn_identity *id, const struct spawn_request *request,
                         struct error *err)
{
	int r = plan_group(id, request->group, err);

	if (r == 0 && request->user)
		r = plan_user(id, request->user, err);
	if (r < 0 && r != -ENOMEM)
		return r;
	if (r == 0 && id->set_group && !id->groups) {
		id->groups = malloc(sizeof(*id->groups));
		if (id->groups)
			id->groups[id->n_groups++] = id->gid;
		else
			r = -ENOMEM;
	}
	return r < 0 ? error_set(err, r, "can't look up the groups: %s", strerror(-r)) : 0;
}

int spawn_check_group(const char *group, struct error *err)
{
	struct spawn_identity id = {};

	return plan_group(&id, group, err);
}

int spawn_check_user(const char *user, const char *group, struct error *err)
{
	/* The group has been looked at, or is by itself: here it counts that there is one. */
	struct spawn_identity id = {.set_group = group != NULL};
	int r = user ? plan_user(&id, user, err) : 0;

	free(id.groups);
	return r == -ENOMEM ? error_set(err, r, "out of memory") : r;
}

void spawn_plan_deinit(struct spawn_plan *plan)
{
	cleanup_close(&plan->null_fd);
	free(plan->candidates);
	free(plan->env);
	free(plan->listen_pid);
	free(plan->fds);
	free(plan->moved);
	free(plan->identity.groups);
}

int spawn_plan_init(struct spawn_plan *plan, const struct spawn_request *request, struct error *err)
{
	int r;

	plan->path = find_path(request->env);
	plan->candidates = find_candidates(request->argv[0], plan->path);
	r = plan->candidates ? plan_environment(plan, request) : -ENOMEM;
	if (r == 0)
		r = plan_descriptors(plan, request);
	if (r < 0)
		return error_set(err, r, "can't start '%s': %s", request->argv[0], strerror(-r));
	return plan_identity(&plan->identity, request, err);
}
