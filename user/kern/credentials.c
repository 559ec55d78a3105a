/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/credentials.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/parse.h"

static bool credentials_parse_id(const char *text, unsigned int *ret)
{
	long value;

	/* -1 means "no change" to the kernel. */
	if (parse_long(text, 0, (long)UINT_MAX - 1, &value) < 0)
		return false;
	*ret = (unsigned int)value;
	return true;
}

/* All groups of a user, @gid among them. */
static int credentials_find_groups(const char *user, gid_t gid, struct credentials *id)
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

static void credentials_set_home(struct credentials *id, const struct passwd *user)
{
	id->name = strdup(user->pw_name);
	id->home = user->pw_dir[0] ? strdup(user->pw_dir) : NULL;
	id->shell = strdup(user->pw_shell[0] ? user->pw_shell : "/bin/sh");
}

static int credentials_find_group(struct credentials *id, const char *name, struct error *err)
{
	const struct group *group;

	if (!name)
		return 0;
	group = getgrnam(name);
	if (group)
		id->gid = group->gr_gid;
	else if (!credentials_parse_id(name, &id->gid))
		return error_usage(err, "there is no group '%s'", name);
	id->set_group = true;
	return 0;
}

static int credentials_find_user(struct credentials *id, const char *name, struct error *err)
{
	const struct passwd *user = getpwnam(name);

	if (user)
		id->uid = user->pw_uid;
	else if (!credentials_parse_id(name, &id->uid))
		return error_usage(err, "there is no user '%s'", name);
	id->set_user = true;
	if (!user)
		user = getpwuid(id->uid);
	if (user)
		credentials_set_home(id, user);
	if (user && !id->set_group)
		id->gid = user->pw_gid;
	else if (!id->set_group)
		return error_usage(err,
		                   "user %s has no entry in the user database, so its group is "
		                   "unknown: give one with --group",
		                   name);
	id->set_group = true;
	return user ? credentials_find_groups(user->pw_name, id->gid, id) : 0;
}

int credentials_find(struct credentials *id, const char *user, const char *group, struct error *err)
{
	int r = credentials_find_group(id, group, err);

	if (r == 0 && user)
		r = credentials_find_user(id, user, err);
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

/* --- the result, as text --- */

/* Numbers: set_user set_group uid gid n_groups GROUP...; then a line each: name, home, shell. */
char *credentials_format(const char *user, const char *group)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	struct error ignored;
	char *text = NULL;
	size_t size;
	FILE *out;

	if ((!user && !group) || credentials_find(&id, user, group, &ignored) < 0)
		return NULL;
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fprintf(out, "%d %d %u %u %d", id.set_user, id.set_group, id.uid, id.gid, id.n_groups);
	for (int i = 0; i < id.n_groups; i++)
		fprintf(out, " %u", id.groups[i]);
	fprintf(out, "\n%s\n%s\n%s\n", id.name ? id.name : "", id.home ? id.home : "",
	        id.shell ? id.shell : "");
	return memory_close_text(out, &text);
}

static unsigned int credentials_next_number(const char **at)
{
	char *end;
	const unsigned long number = strtoul(*at, &end, 10);

	*at = end;
	return (unsigned int)number;
}

/* A copy of the next line; NULL if it is empty. */
static char *credentials_next_line(const char **at)
{
	const size_t n = strcspn(*at, "\n");
	char *line = n ? strndup(*at, n) : NULL;

	*at += n + ((*at)[n] == '\n');
	return line;
}

int credentials_take(struct credentials *id, const char *user, const char *group,
                     const char *identity, struct error *err)
{
	const char *at = identity;

	if (!identity)
		return credentials_find(id, user, group, err);
	id->set_user = credentials_next_number(&at);
	id->set_group = credentials_next_number(&at);
	id->uid = credentials_next_number(&at);
	id->gid = credentials_next_number(&at);
	id->n_groups = (int)credentials_next_number(&at);
	id->groups = calloc((size_t)id->n_groups + 1, sizeof(*id->groups));
	if (!id->groups)
		return error_set(err, -ENOMEM, "can't look up the groups: %s", strerror(ENOMEM));
	for (int i = 0; i < id->n_groups; i++)
		id->groups[i] = credentials_next_number(&at);
	credentials_next_line(&at);
	id->name = credentials_next_line(&at);
	id->home = credentials_next_line(&at);
	id->shell = credentials_next_line(&at);
	return 0;
}

int credentials_check_group(const char *group, struct error *err)
{
	struct credentials id = {};

	return credentials_find_group(&id, group, err);
}

int credentials_check_user(const char *user, const char *group, struct error *err)
{
	/* credentials_check_group() checks the group; here it only matters whether there is one. */
	_cleanup_(credentials_deinit) struct credentials id = {.set_group = group != NULL};
	int r = user ? credentials_find_user(&id, user, err) : 0;

	return r == -ENOMEM ? error_set(err, r, "out of memory") : r;
}

void credentials_deinit(struct credentials *id)
{
	free(id->groups);
	free(id->name);
	free(id->home);
	free(id->shell);
}

bool credentials_has_group(const struct credentials *id, gid_t gid)
{
	for (int i = 0; i < id->n_groups; i++)
		if (id->groups[i] == gid)
			return true;
	return id->gid == gid;
}
