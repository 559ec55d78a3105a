/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/file_user.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/credentials.h"

int file_user_find_owner(struct load_file *file, struct file_owner *owner, struct error *err)
{
	int r;

	if (!file_rights_may_assume())
		return 0;
	r = file_owner_find(file->path, owner, err);
	if (r < 0 || owner->verdict == FILE_TRUST_OURS)
		return r;
	if (owner->verdict == FILE_TRUST_SEVERAL)
		return error_usage(err,
		                   "'%s' is controlled by two users: %s belongs to another user "
		                   "than the folders above it; make one of them, or root, the "
		                   "owner of all",
		                   file->path, owner->where);
	if (owner->verdict == FILE_TRUST_MANY && !file->user)
		return error_usage(err,
		                   "other users than root can change '%s', because %s is writable "
		                   "for its group or for all users: take this right away (chmod "
		                   "go-w), or give --user on the command line",
		                   file->path, owner->where);
	/* The user of the command line stands for the many. */
	if (owner->verdict == FILE_TRUST_MANY)
		snprintf(owner->user, sizeof(owner->user), "%s", file->user);
	file->owner = owner;
	return 0;
}

/* What the owner of the file may not set. */
struct file_user_check {
	const struct file_owner *owner;
	void (*report)(void *data, const char *option, const char *text);
	void *data;
};

static void file_user_refuse(const struct file_user_check *check, const char *option,
                             const char *what, const char *advice)
{
	struct error err;

	error_usage(&err, "the file belongs to user '%s', the owner of %s, and %s: %s",
	            check->owner->user, check->owner->where, what, advice);
	check->report(check->data, option, err.text);
}

static void file_user_check_user(const struct file_user_check *check,
                                 const struct run_config *config)
{
	static const char advice[] =
	        "make root the owner of the file and the folders above it, or give --user on the "
	        "command line";
	_cleanup_(credentials_deinit) struct credentials id = {}, is = {}, group = {};
	const struct file_owner *owner = check->owner;
	struct error ignored;

	/* A user or group that does not exist is reported by load_host_problems(). */
	if (credentials_find(&id, owner->user, file_owner_group(owner), &ignored) < 0)
		return;
	if (credentials_find(&is, config->user, config->group, &ignored) == 0 &&
	    (!is.set_user || is.uid != owner->uid))
		file_user_refuse(check, "user", "can't have workers of another user", advice);
	else if (config->group && credentials_find(&group, NULL, config->group, &ignored) == 0 &&
	         !credentials_has_group(&id, group.gid))
		file_user_refuse(check, "group", "this user is not in the group", advice);
}

static void file_user_check_ports(const struct file_user_check *check,
                                  const struct run_config *config)
{
	for (size_t i = 0; i < config->n_listens; i++)
		if (config->listens[i].port < IPPORT_RESERVED) {
			file_user_refuse(check, "listen",
			                 "only root may listen on a port below 1024",
			                 "make root the owner of the file and the folders above "
			                 "it");
			return;
		}
}

/* Replaces a text of the configuration. Whether there was memory. */
static bool file_user_copy(const char *text, char **ret)
{
	char *copy = text && *text ? strdup(text) : NULL;

	if (text && *text && !copy)
		return false;
	free(*ret);
	*ret = copy;
	return true;
}

void file_user_set(const struct load_file *file, struct run_config *config,
                   void (*report)(void *data, const char *option, const char *text), void *data)
{
	const struct file_owner *owner = file->owner;
	const struct file_user_check check = {owner, report, data};
	bool ok = true;

	config->limited = owner != NULL;
	if (file->user)
		ok = file_user_copy(file->user, &config->user) &&
		     file_user_copy(file->group, &config->group);
	else if (owner && !config->user)
		ok = file_user_copy(owner->user, &config->user) &&
		     (config->group || file_user_copy(owner->group, &config->group));
	if (!ok)
		report(data, "user", "out of memory");
	if (!owner || !ok)
		return;
	if (!file->user)
		file_user_check_user(&check, config);
	file_user_check_ports(&check, config);
	if (config->web)
		file_user_refuse(&check, "web", "only root may serve the state of this host",
		                 "make root the owner of the file and the folders above it");
}
